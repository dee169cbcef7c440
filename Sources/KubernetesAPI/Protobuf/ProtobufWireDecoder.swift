package import EndpointWatcher
package import ProxyCore
import SwiftProtobuf

/// Decodes the protobuf encoding of the API.
package struct ProtobufWireDecoder: WireDecoder {
    /// What goes before a runtime.Unknown.
    private static let magic: [UInt8] = [0x6b, 0x38, 0x73, 0]

    package init() {}

    package func item(_ message: ArraySlice<UInt8>, of kind: ObjectKind) throws -> WireObject {
        switch kind {
        case .service: .service(WireService(try Self.decode(ProtoService.self, message)))
        case .endpointSlice: .endpointSlice(WireEndpointSlice(try Self.decode(ProtoEndpointSlice.self, message)))
        case .node: .node(WireNode(try Self.decode(ProtoNode.self, message)))
        case .serviceCIDR: .serviceCIDR(WireServiceCIDR(try Self.decode(ProtoServiceCIDR.self, message)))
        }
    }

    package func listMetadata(_ message: ArraySlice<UInt8>) throws -> WireListMetadata {
        let metadata = try Self.decode(ProtoListMeta.self, message)
        return WireListMetadata(resourceVersion: metadata.resourceVersion, continue: metadata.continue)
    }

    package func event(_ message: ArraySlice<UInt8>, of kind: ObjectKind) throws -> WireEvent {
        let event = try Self.decode(ProtoWatchEvent.self, message)
        let raw = [UInt8](event.object.raw)
        if event.type == "ERROR" { return .error(try status(raw[...])) }
        let envelope = try Self.envelope(raw[...])
        guard envelope.typeMeta.kind == kind.rawValue,
            let event = WireEvent(type: event.type, try item([UInt8](envelope.raw)[...], of: kind), of: kind)
        else { throw UndecodableMessage() }
        return event
    }

    package func status(_ body: ArraySlice<UInt8>) throws -> WireStatus {
        let envelope = try Self.envelope(body)
        guard envelope.typeMeta.kind == "Status" else { throw UndecodableMessage() }
        let status = try Self.decode(ProtoStatus.self, [UInt8](envelope.raw)[...])
        let seconds = status.hasDetails && status.details.hasRetryAfterSeconds ? status.details.retryAfterSeconds : 0
        return WireStatus(
            code: Int(status.code), message: status.message, retryAfter: seconds == 0 ? nil : Int(seconds))
    }

    private static func envelope(_ bytes: ArraySlice<UInt8>) throws -> ProtoUnknown {
        guard bytes.starts(with: magic) else { throw UndecodableMessage() }
        return try decode(ProtoUnknown.self, bytes.dropFirst(magic.count))
    }

    private static func decode<Message: SwiftProtobuf.Message>(
        _ type: Message.Type, _ bytes: ArraySlice<UInt8>
    ) throws -> Message {
        var options = BinaryDecodingOptions()
        options.discardUnknownFields = true
        return try Message(serializedBytes: Array(bytes), options: options)
    }
}
