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
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
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
        // Manifest files to objects.
        .target(
            name: "EndpointWatcher",
            dependencies: ["ProxyCore", .product(name: "Yams", package: "Yams")],
            swiftSettings: settings),
        // The only module that touches the kernel.
        .target(
            name: "BatchApplier",
            dependencies: ["ProxyCore", .product(name: "Subprocess", package: "swift-subprocess")],
            swiftSettings: settings),
        .executableTarget(
            name: "switchyard",
            dependencies: [
                "ProxyCore", "ChainRenderer", "EndpointWatcher", "BatchApplier",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: settings),

        // Clusters from a generator, golden cases, namespaces: what several test targets share.
        .target(
            name: "TestSupport", dependencies: ["ProxyCore"], path: "Tests/TestSupport", exclude: ["Foreign"],
            swiftSettings: settings),
        // TCP and UDP servers and clients that run inside the namespaces of traffic tests and of the demo.
        .executableTarget(name: "traffic-peer", path: "Tests/TrafficPeer", swiftSettings: settings),
        .executableTarget(
            name: "render-bench",
            dependencies: ["ProxyCore", "ChainRenderer", "EndpointWatcher", "TestSupport"],
            path: "Benchmarks/RenderBench", swiftSettings: settings),

        .testTarget(name: "ProxyCoreTests", dependencies: ["ProxyCore", "TestSupport"], swiftSettings: settings),
        .testTarget(name: "NameHashTests", dependencies: ["NameHash", "ProxyCore"], swiftSettings: settings),
        .testTarget(
            name: "ChainRendererTests",
            dependencies: ["ChainRenderer", "EndpointWatcher", "TestSupport"], swiftSettings: settings),
        .testTarget(
            name: "EndpointWatcherTests", dependencies: ["EndpointWatcher", "TestSupport"], swiftSettings: settings),
        .testTarget(
            name: "BatchApplierTests", dependencies: ["BatchApplier", "TestSupport"], swiftSettings: settings),
        .testTarget(
            name: "SwitchyardTests",
            dependencies: ["switchyard", "traffic-peer", "ProxyCore", "TestSupport"], swiftSettings: settings),
    ]
)
