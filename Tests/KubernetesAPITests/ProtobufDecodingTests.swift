import EndpointWatcher
import Foundation
import ProxyCore
import SwiftProtobuf
import Testing

@testable import KubernetesAPI

/// What the recordings do not have, in both encodings.
@Suite("Protobuf and JSON")
struct ProtobufDecodingTests {
    /// The object and its faults.
    private struct Outcome: Equatable {
        var change: ObjectChange?
        var faults: [InputFault] = []

        init(_ object: WireObject) {
            var pool = StringPool()
            change = object.change(&pool, &faults)
        }
    }

    private func expectEqual(_ message: some Message, _ json: String, _ kind: ObjectKind) throws -> Outcome {
        let bytes: [UInt8] = try message.serializedBytes()
        let protobuf = Outcome(try ProtobufWireDecoder().item(bytes[...], of: kind))
        #expect(protobuf == Outcome(try JSONWireDecoder().item(Array(json.utf8)[...], of: kind)))
        return protobuf
    }

    private func metadata(_ name: String, _ labels: [String: String] = [:]) -> ProtoObjectMeta {
        .with {
            $0.name = name
            $0.namespace = "default"
            $0.labels = labels
        }
    }

    @Test("An EndpointSlice keeps what is unset apart from what is false, empty or 0")
    func presence() throws {
        var slice = ProtoEndpointSlice()
        slice.metadata = metadata("web-1", ["kubernetes.io/service-name": "web"])
        slice.addressType = "IPv4"
        slice.ports = [
            .with { ($0.name, $0.protocol, $0.port) = ("", "UDP", 53) },
            .with { ($0.protocol, $0.port) = ("TCP", 1) },
            .with { ($0.name, $0.protocol) = ("no-number", "TCP") },
            .with { ($0.name, $0.port) = ("no-protocol", 2) },
            .with { ($0.name, $0.protocol, $0.port) = ("large", "TCP", 70000) },
        ]
        slice.endpoints = [
            .with { $0.addresses = ["10.0.0.1"] },
            .with {
                $0.addresses = ["10.0.0.2", "10.0.0.9"]
                $0.conditions = .with { $0.ready = false }
                $0.nodeName = "n1"
                $0.hints = .with { hints in
                    hints.forZones = [.with { $0.name = "z" }]
                    hints.forNodes = [.with { $0.name = "n" }]
                }
            },
            .with {
                $0.addresses = ["10.0.0.3"]
                $0.conditions = .with { $0.terminating = true }
            },
            .with { $0.addresses = [] },
            .with { $0.addresses = ["x"] },
        ]
        let json = """
            {"metadata":{"name":"web-1","namespace":"default","labels":{"kubernetes.io/service-name":"web"}},
            "addressType":"IPv4","ports":[{"name":"","protocol":"UDP","port":53},{"protocol":"TCP","port":1},
            {"name":"no-number","protocol":"TCP"},{"name":"no-protocol","port":2},
            {"name":"large","protocol":"TCP","port":70000}],"endpoints":[{"addresses":["10.0.0.1"]},
            {"addresses":["10.0.0.2","10.0.0.9"],"conditions":{"ready":false},"nodeName":"n1",
            "hints":{"forZones":[{"name":"z"}],"forNodes":[{"name":"n"}]}},
            {"addresses":["10.0.0.3"],"conditions":{"terminating":true}},{"addresses":[]},{"addresses":["x"]}]}
            """
        let outcome = try expectEqual(slice, json, .endpointSlice)
        guard case .endpointSlice(let found) = outcome.change else {
            Issue.record("no slice")
            return
        }
        #expect(found.ports == [EndpointSlice.Port(name: "", protocol: .udp, number: 53)])
        #expect(
            found.endpoints.map(\.conditions) == [[.ready, .serving], [.serving], [.ready, .serving, .terminating]])
        #expect(found.endpoints[1].zoneHints == ["z"] && found.endpoints[1].nodeHints == ["n"])
        #expect(outcome.faults.count == 4)
    }

    @Test("A Service has the same fields, defaults and faults, although protobuf sends empty ones")
    func service() throws {
        var service = ProtoService()
        service.metadata = metadata("web")
        service.spec = .with { spec in
            spec.type = "LoadBalancer"
            spec.clusterIp = "10.0.0.1"
            spec.clusterIps = ["10.0.0.1", "fd00::1"]
            spec.ipFamilies = ["IPv4", "IPv6"]
            spec.externalIps = ["192.0.2.1", "bad"]
            spec.loadBalancerSourceRanges = ["10.0.0.0/8", "x"]
            spec.externalTrafficPolicy = "Local"
            spec.internalTrafficPolicy = ""
            spec.healthCheckNodePort = 30001
            spec.sessionAffinity = "ClientIP"
            spec.sessionAffinityConfig = .with { config in config.clientIp = .with { $0.timeoutSeconds = 0 } }
            spec.ports = [
                .with { ($0.name, $0.protocol, $0.port, $0.nodePort) = ("a", "", 80, 30080) },
                .with { ($0.name, $0.protocol, $0.port, $0.nodePort) = ("b", "SCTP", 81, 0) },
                .with { ($0.name, $0.protocol, $0.port) = ("c", "TCP", -1) },
                .with { $0.name = "d" },
            ]
        }
        service.status = .with { status in
            status.loadBalancer = .with { balancer in
                balancer.ingress = [
                    .with { $0.ip = "192.0.2.9" },
                    .with { ($0.ip, $0.ipMode) = ("192.0.2.8", "Proxy") },
                    .with { $0.ip = "" },
                ]
            }
        }
        let json = """
            {"metadata":{"name":"web","namespace":"default"},"spec":{"type":"LoadBalancer","clusterIP":"10.0.0.1",
            "clusterIPs":["10.0.0.1","fd00::1"],"ipFamilies":["IPv4","IPv6"],"externalIPs":["192.0.2.1","bad"],
            "loadBalancerSourceRanges":["10.0.0.0/8","x"],"externalTrafficPolicy":"Local","healthCheckNodePort":30001,
            "sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":0}},
            "ports":[{"name":"a","port":80,"nodePort":30080},{"name":"b","protocol":"SCTP","port":81},
            {"name":"c","protocol":"TCP","port":-1},{"name":"d","protocol":"TCP"}]},
            "status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.9"},{"ip":"192.0.2.8","ipMode":"Proxy"},{}]}}}
            """
        let outcome = try expectEqual(service, json, .service)
        guard case .service(let found) = outcome.change else {
            Issue.record("no Service")
            return
        }
        #expect(found.ports.map(\.nodePort) == [30080, 0])
        #expect(found.clusterIPs.count == 2)
        #expect(found.loadBalancerIPs == [IPAddress("192.0.2.9")])
        #expect(found.healthCheckNodePort == 30001)
        #expect(found.affinitySeconds == 10800)
        #expect(outcome.faults.count == 5)
    }

    @Test("Labels and an empty object are read alike")
    func labels() throws {
        var service = ProtoService()
        service.metadata = metadata("web", ["service.kubernetes.io/service-proxy-name": "", "other": "x"])
        let labels = #"{"service.kubernetes.io/service-proxy-name":"","other":"x"}"#
        let json = #"{"metadata":{"name":"web","namespace":"default","labels":\#(labels)},"spec":{}}"#
        let outcome = try expectEqual(service, json, .service)
        guard case .service(let found) = outcome.change else { return }
        #expect(found.isForAnotherProxy)
        #expect(try expectEqual(ProtoService(), "{}", .service).change == nil)
        #expect(try expectEqual(ProtoEndpointSlice(), "{}", .endpointSlice).change == nil)
        #expect(try expectEqual(ProtoNode(), "{}", .node).change == nil)
        #expect(try expectEqual(ProtoServiceCIDR(), "{}", .serviceCIDR).change == nil)
    }

    @Test("A Status and an ERROR event are read in protobuf as in JSON")
    func status() throws {
        let status = ProtoStatus.with {
            $0.message = "too old"
            $0.code = 410
            $0.details = .with { $0.retryAfterSeconds = 3 }
        }
        let wrapped = try Self.wrap(status, "Status")
        let expected = WireStatus(code: 410, message: "too old", retryAfter: 3)
        #expect(try ProtobufWireDecoder().status(wrapped[...]) == expected)
        let event = ProtoWatchEvent.with { event in
            event.type = "ERROR"
            event.object = .with { $0.raw = Data(wrapped) }
        }
        let bytes: [UInt8] = try event.serializedBytes()
        guard case .error(expected) = try ProtobufWireDecoder().event(bytes[...], of: .service) else {
            Issue.record("no error")
            return
        }
        #expect(throws: (any Error).self) {
            try ProtobufWireDecoder().status(Self.wrap(ProtoService(), "Service")[...])
        }
    }

    @Test("An event with an object of another kind, of no known type, or without its envelope is none")
    func otherEvents() throws {
        let service = ProtoService.with { $0.metadata = metadata("web") }
        let wrapped = try Self.wrap(service, "Service")
        for (type, raw, kind) in [
            ("ADDED", wrapped, ObjectKind.node), ("MOVED", wrapped, .service), ("BOOKMARK", wrapped, .service),
            ("ADDED", Array(wrapped.dropFirst(4)), .service), ("ADDED", [], .service),
        ] {
            let event = ProtoWatchEvent.with { event in
                event.type = type
                event.object = .with { $0.raw = Data(raw) }
            }
            let bytes: [UInt8] = try event.serializedBytes()
            #expect(throws: (any Error).self) { try ProtobufWireDecoder().event(bytes[...], of: kind) }
        }
    }

    private static func wrap(_ message: some Message, _ kind: String) throws -> [UInt8] {
        let envelope = ProtoUnknown.with {
            $0.typeMeta = .with { $0.kind = kind }
            $0.raw = (try? message.serializedData()) ?? Data()
        }
        return [0x6b, 0x38, 0x73, 0] + (try envelope.serializedBytes() as [UInt8])
    }
}
