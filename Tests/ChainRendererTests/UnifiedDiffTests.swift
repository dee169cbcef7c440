import ChainRenderer
import Testing

@Suite("UnifiedDiff")
struct UnifiedDiffTests {
    private func diff(_ old: String, _ new: String) -> String? {
        UnifiedDiff.text(old: Array(old.utf8), new: Array(new.utf8), oldName: "a", newName: "b")
    }

    @Test("is nil for equal texts")
    func equal() {
        #expect(diff("a\nb\n", "a\nb\n") == nil)
    }

    @Test("shows a changed line with three lines around it")
    func changed() {
        let old = (1...9).map { "line \($0)\n" }.joined()
        let expected = """
            --- a
            +++ b
            @@ -2,7 +2,7 @@
             line 2
             line 3
             line 4
            -line 5
            +other
             line 6
             line 7
             line 8

            """
        #expect(diff(old, old.replacing("line 5", with: "other")) == expected)
    }

    @Test("makes two hunks of changes that are far apart, and one of changes that are near")
    func hunks() {
        let old = (1...20).map { "line \($0)\n" }.joined()
        let far = old.replacing("line 2\n", with: "x\n").replacing("line 19\n", with: "")
        #expect(
            diff(old, far)?.split(separator: "\n").filter { $0.hasPrefix("@@") } == [
                "@@ -1,5 +1,5 @@", "@@ -16,5 +16,4 @@",
            ])
        let near = old.replacing("line 2\n", with: "x\n").replacing("line 8\n", with: "")
        #expect(diff(old, near)?.split(separator: "\n").filter { $0.hasPrefix("@@") } == ["@@ -1,11 +1,10 @@"])
    }

    @Test("names the line before a range without lines, and a missing end of the last line")
    func ends() {
        #expect(diff("", "a\n") == "--- a\n+++ b\n@@ -0,0 +1,1 @@\n+a\n")
        #expect(diff("a\n", "a") == "--- a\n+++ b\n@@ -1,1 +1,1 @@\n-a\n+a\n\\ No newline at end of file\n")
    }

    @Test("finds moved and repeated lines without taking all of them for changed")
    func moved() {
        let old = (1...50).map { "line \($0)\nCOMMIT\n" }.joined()
        let new = old.replacing("line 10\n", with: "").replacing("line 40\n", with: "line 40\nline 10\n")
        let changes = diff(old, new)?.split(separator: "\n").dropFirst(2).filter { "+-".contains($0.first ?? " ") }
        #expect(changes == ["-line 10", "+line 10"])
    }
}
