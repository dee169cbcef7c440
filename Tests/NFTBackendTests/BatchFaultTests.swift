import ProxyCore
import Testing

@testable import NFTBackend

@Suite("What libnftnl does not take")
struct BatchFaultTests {
    private let table = NFTTable.Identity(family: .ipv4, name: "switchyard", comment: nil)

    @Test("is the batch's fault, with the chain whose rule would lack it")
    func expression() {
        var encoder = NFTEncoder(table)
        encoder.append([.meta(16, register: 1), .verdict(.drop)], to: "services")
        #expect(encoder.messages.fault == nil)
        encoder.append([.other("no-such-expression"), .verdict(.drop)], to: "services")
        let fault = "libnftnl does not take the expression no-such-expression in a rule of chain services"
        #expect(encoder.messages.fault == fault)
        encoder.append([.other("another"), .verdict(.drop)], to: "others")
        #expect(encoder.messages.fault == fault)
    }
}
