// swift-tools-version: 6.2
// Switchyard: Services and EndpointSlices to iptables, IPVS or nftables rules. See README.md for the layout.

import PackageDescription

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .treatAllWarnings(as: .error),
]

let package = Package(
    name: "switchyard",
    products: [
        .executable(name: "switchyard", targets: ["switchyard"])
    ],
    traits: [
        .trait(
            name: "Cluster",
            description:
                "Objects from a cluster's API server; without it manifests are the only source and nothing of HTTP is built"
        ),
        .default(enabledTraits: ["Cluster"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0", traits: []),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
    ],
    targets: [
        // The model, the policy and the plans: no I/O, no dependencies.
        .target(name: "ProxyCore", swiftSettings: settings),
        // Chain names.
        .target(
            name: "NameHash",
            dependencies: ["ProxyCore", .product(name: "Crypto", package: "swift-crypto")],
            swiftSettings: settings),
        // Plans to iptables-restore text.
        .target(
            name: "ChainRenderer", dependencies: ["ProxyCore", "NameHash"], exclude: ["README.md"],
            swiftSettings: settings),
        .systemLibrary(name: "CNftnl", pkgConfig: "libnftnl", providers: [.apt(["libnftnl-dev"])]),
        // Plans to nf_tables messages, and to the text that nft reads.
        .target(name: "NFTBackend", dependencies: ["ProxyCore", "NameHash", "CNftnl"], swiftSettings: settings),
        // Plans to virtual servers, sets and the iptables text around them.
        .target(name: "IPVSBackend", dependencies: ["ProxyCore"], swiftSettings: settings),
        // Manifest files to objects.
        .target(
            name: "EndpointWatcher",
            dependencies: ["ProxyCore", .product(name: "Yams", package: "Yams")],
            swiftSettings: settings),
        // The same objects from a cluster's API server: list, watch, protobuf, TLS, credentials.
        .target(
            name: "KubernetesAPI",
            dependencies: [
                "ProxyCore", "EndpointWatcher",
                .product(name: "AsyncHTTPClient", package: "async-http-client", condition: .when(traits: ["Cluster"])),
                .product(name: "NIOCore", package: "swift-nio", condition: .when(traits: ["Cluster"])),
                .product(name: "NIOHTTP1", package: "swift-nio", condition: .when(traits: ["Cluster"])),
                .product(name: "NIOPosix", package: "swift-nio", condition: .when(traits: ["Cluster"])),
                .product(name: "NIOSSL", package: "swift-nio-ssl", condition: .when(traits: ["Cluster"])),
                .product(name: "SwiftProtobuf", package: "swift-protobuf", condition: .when(traits: ["Cluster"])),
                .product(name: "Subprocess", package: "swift-subprocess"),
            ],
            exclude: ["Protobuf/kubernetes.proto"],
            swiftSettings: settings),
        .systemLibrary(name: "CMnl", pkgConfig: "libmnl", providers: [.apt(["libmnl-dev"])]),
        // The only module that touches the kernel.
        .target(
            name: "BatchApplier",
            dependencies: ["ProxyCore", "CMnl", .product(name: "Subprocess", package: "swift-subprocess")],
            swiftSettings: settings),
        // Objects in, commits out: when to sync, what to retry, what to check.
        .target(
            name: "SyncLoop",
            dependencies: [
                "ProxyCore", "ChainRenderer", "NFTBackend", "IPVSBackend", "EndpointWatcher", "BatchApplier",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "switchyard",
            dependencies: [
                "ProxyCore", "ChainRenderer", "NFTBackend", "IPVSBackend", "EndpointWatcher", "BatchApplier",
                "SyncLoop", .target(name: "KubernetesAPI", condition: .when(traits: ["Cluster"])),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings),

        // Clusters from a generator, golden cases, namespaces: what several test targets share.
        .target(
            name: "TestSupport", dependencies: ["ProxyCore"], path: "Tests/TestSupport", exclude: ["Foreign"],
            swiftSettings: settings),
        // Golden clusters as plans, for the tests of the renderers.
        .target(
            name: "GoldenSupport", dependencies: ["EndpointWatcher", "IPVSBackend", "ProxyCore", "TestSupport"],
            path: "Tests/GoldenSupport", swiftSettings: settings),
        // TCP and UDP servers and clients that run inside the namespaces of traffic tests and of the demo.
        .executableTarget(name: "traffic-peer", path: "Tests/TrafficPeer", swiftSettings: settings),
        // Calls of the netlink sockets, to be made inside the namespaces of kernel tests.
        .executableTarget(
            name: "netlink-peer", dependencies: ["BatchApplier", "ProxyCore"], path: "Tests/NetlinkPeer",
            swiftSettings: settings),
        // Commits and reads tables of nf_tables inside the namespaces of kernel tests, for a test outside.
        .executableTarget(
            name: "nftables-peer", dependencies: ["BatchApplier", "ProxyCore", "TestSupport"],
            path: "Tests/NFTablesPeer", swiftSettings: settings),
        // Lists and changes virtual servers, sets and the service device, as commands on its standard input say.
        .executableTarget(
            name: "ipvs-peer", dependencies: ["BatchApplier", "ProxyCore"], path: "Tests/IPVSPeer",
            swiftSettings: settings),
        // First packets through the rules of a node, made and caught by hand inside its namespace.
        .executableTarget(
            name: "packet-peer", dependencies: ["BatchApplier", "ProxyCore"], path: "Tests/PacketPeer",
            swiftSettings: settings),
        // An API server for tests: lists, watches, bookmarks, both encodings, and faults on demand.
        .target(
            name: "TestAPIServer",
            dependencies: [
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            path: "Tests/TestAPIServer", swiftSettings: settings),
        // The same as a program, to be run inside the namespace of a daemon under test.
        .executableTarget(
            name: "test-api-server", dependencies: ["TestAPIServer"], path: "Tests/TestAPIServerProgram",
            swiftSettings: settings),
        // What the benchmarks count and print with.
        .target(name: "BenchSupport", path: "Benchmarks/Support", swiftSettings: settings),
        .executableTarget(
            name: "render-bench",
            dependencies: ["BenchSupport", "ProxyCore", "ChainRenderer", "EndpointWatcher", "TestSupport"],
            path: "Benchmarks/RenderBench", swiftSettings: settings),
        .executableTarget(
            name: "daemon-bench",
            dependencies: [
                "BatchApplier", "BenchSupport", "ChainRenderer", "ProxyCore", "SyncLoop", "TestSupport",
                "TestAPIServer",
            ],
            path: "Benchmarks/DaemonBench", swiftSettings: settings),
        .systemLibrary(name: "CUnshare", path: "Benchmarks/CUnshare"),
        .executableTarget(
            name: "nftables-bench",
            dependencies: [
                "BatchApplier", "BenchSupport", "ChainRenderer", "CMnl", "CUnshare", "NFTBackend", "ProxyCore",
                "TestSupport",
            ],
            path: "Benchmarks/NFTablesBench", swiftSettings: settings),
        .executableTarget(
            name: "ipvs-bench",
            dependencies: [
                "BatchApplier", "BenchSupport", "CMnl", "CUnshare", "IPVSBackend", "ProxyCore", "TestSupport",
            ],
            path: "Benchmarks/IPVSBench", swiftSettings: settings),

        .testTarget(name: "ProxyCoreTests", dependencies: ["ProxyCore", "TestSupport"], swiftSettings: settings),
        .testTarget(name: "NameHashTests", dependencies: ["NameHash", "ProxyCore"], swiftSettings: settings),
        .testTarget(
            name: "ChainRendererTests",
            dependencies: ["ChainRenderer", "EndpointWatcher", "GoldenSupport", "TestSupport"], swiftSettings: settings),
        .testTarget(
            name: "NFTBackendTests",
            dependencies: [
                "NFTBackend", "CNftnl", "EndpointWatcher", "ProxyCore", "packet-peer", "GoldenSupport", "TestSupport",
            ],
            swiftSettings: settings),
        .testTarget(
            name: "IPVSBackendTests",
            dependencies: ["IPVSBackend", "EndpointWatcher", "ProxyCore", "GoldenSupport", "TestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "EndpointWatcherTests", dependencies: ["EndpointWatcher", "TestSupport"], swiftSettings: settings),
        .testTarget(
            name: "KubernetesAPITests",
            dependencies: [
                "KubernetesAPI", "EndpointWatcher", "ProxyCore", "TestSupport", "TestAPIServer",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "SyncLoopTests", dependencies: ["SyncLoop", "ChainRenderer", "NFTBackend", "TestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "BatchApplierTests", dependencies: ["BatchApplier", "ipvs-peer", "netlink-peer", "TestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "SwitchyardTests",
            dependencies: [
                "switchyard", "traffic-peer", "test-api-server", "nftables-peer", "TestAPIServer", "BatchApplier",
                "ChainRenderer", "GoldenSupport", "IPVSBackend", "NFTBackend", "ProxyCore", "SyncLoop", "TestSupport",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
    ]
)
