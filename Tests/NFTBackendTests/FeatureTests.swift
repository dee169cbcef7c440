import ProxyCore
import Testing

@testable import NFTBackend

@Suite("Features of nf_tables")
struct FeatureTests {
    /// Those that a kernel has modules for.
    private static let modules: [NFTFeature] = [
        .tables, .natChains, .connectionTracking, .randomNumbers, .translation, .masquerading, .rejection,
        .routes, .counters,
    ]

    @Test("are found again in the messages by which they are tried", arguments: modules)
    func trial(_ feature: NFTFeature) {
        let batch = NFTablesBatch(feature.trial(.ipv4))
        let found = batch.offsets.indices.flatMap { batch.features(ofMessage: $0, at: nil) }
        #expect(found.contains(feature))
    }

    @Test("are told apart by the byte that the kernel names")
    func offset() {
        let rule = NFTRule(.matchNewConnection, .matchLocal(.destinationAddressType), .reject)
        let batch = NFTablesBatch(
            NFTTransaction(.init(family: .ipv4, name: "t", comment: nil), [.addRule(rule, chain: "c")]))
        #expect(batch.features(ofMessage: 0, at: nil) == [.connectionTracking, .routes, .rejection])
        var met: [NFTFeature] = []
        for byte in batch.bytes.indices {
            let features = batch.features(ofMessage: 0, at: byte)
            #expect(features.count < 2)
            for feature in features where met.last != feature { met.append(feature) }
        }
        #expect(met == [.connectionTracking, .routes, .rejection])
        #expect(batch.features(ofMessage: 1, at: nil) == [])
    }

    @Test("are all in a sentence where the kernel names no byte")
    func sentence() {
        #expect(NFTFeature.possibleAbsence([], .ipv4) == nil)
        #expect(
            NFTFeature.possibleAbsence([.randomNumbers, .routes], .ipv6)
                == "this kernel may lack the expression numgen (CONFIG_NFT_NUMGEN), or the expression fib "
                + "(CONFIG_NFT_FIB and CONFIG_NFT_FIB_IPV6)")
    }
}
