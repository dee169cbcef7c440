/// Keeps one copy of each text, for names that many objects repeat: nodes, zones, ports.
package struct StringPool {
    private var texts: Set<String> = []

    package init() {}

    /// The copy that equals `text`.
    package mutating func intern(_ text: String) -> String {
        // Up to 15 bytes are held in the value itself.
        guard text.utf8.count > 15 else { return text }
        return texts.insert(text).memberAfterInsert
    }
}
