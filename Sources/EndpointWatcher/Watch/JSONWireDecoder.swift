import Foundation
package import ProxyCore

/// Decodes JSON.
package struct JSONWireDecoder: WireDecoder {
    package init() {}

    package func item(_ message: ArraySlice<UInt8>, of kind: ObjectKind) throws -> WireObject {
        let decoder = JSONDecoder()
        // Items do not repeat the kind of their list.
        if let key = WireObject.defaultKindKey { decoder.userInfo[key] = kind.rawValue }
        let object = try decoder.decode(WireObject.self, from: Data(message))
        guard object.kind == kind else { throw UndecodableMessage() }
        return object
    }

    package func listMetadata(_ message: ArraySlice<UInt8>) throws -> WireListMetadata {
        try JSONDecoder().decode(WireListMetadata.self, from: Data(message))
    }

    package func event(_ message: ArraySlice<UInt8>, of kind: ObjectKind) throws -> WireEvent {
        switch try JSONDecoder().decode(Event.self, from: Data(message)) {
        case .error(let status): return .error(try status.status)
        case .object(let type, let object):
            guard let event = WireEvent(type: type, object, of: kind) else { throw UndecodableMessage() }
            return event
        }
    }

    package func status(_ body: ArraySlice<UInt8>) throws -> WireStatus {
        try JSONDecoder().decode(Status.self, from: Data(body)).status
    }

    /// An event as it is sent: what its object is follows from its type.
    private enum Event: Decodable {
        case object(type: String, WireObject)
        case error(Status)

        private enum CodingKeys: String, CodingKey { case type, object }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            let type = try container.decode(String.self, forKey: .type)
            self =
                type == "ERROR"
                ? .error(try container.decode(Status.self, forKey: .object))
                : .object(type: type, try container.decode(WireObject.self, forKey: .object))
        }
    }

    private struct Status: Decodable {
        struct Details: Decodable {
            var retryAfterSeconds: Lenient<Int> = .missing
        }

        var kind: String
        var code: Lenient<Int> = .missing
        var message: Lenient<String> = .missing
        var details: Lenient<Details> = .missing

        var status: WireStatus {
            get throws {
                guard kind == "Status" else { throw UndecodableMessage() }
                var faults: [InputFault] = []
                return WireStatus(
                    code: code.get(or: 0, &faults) ?? 0, message: message.get(or: "", &faults) ?? "",
                    retryAfter: details.get(or: nil, &faults)?.retryAfterSeconds.get(or: nil, &faults))
            }
        }
    }
}
