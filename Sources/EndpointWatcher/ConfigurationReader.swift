public import ProxyCore

/// Reads a file that holds one KubeProxyConfiguration, in YAML or JSON.
public struct ConfigurationReader {
    /// Reads a file; `-` is standard input. All faults are reported together; unknown fields are warned about.
    public static func read(path: String) throws(InputError) -> (ProxyConfiguration, [Diagnostic]) {
        try diagnose(ObjectFile(path: path))
    }

    /// Reads the bytes of a file, which diagnostics call `name`.
    public static func read(_ bytes: [UInt8], name: String) throws(InputError) -> (ProxyConfiguration, [Diagnostic]) {
        try diagnose(ObjectFile(bytes, name: name))
    }

    private static func diagnose(
        _ file: ObjectFile<KubeProxyConfiguration>
    ) throws(InputError) -> (ProxyConfiguration, [Diagnostic]) {
        let diagnostics = file.object.faults.map(file.diagnostic)
        guard !diagnostics.contains(where: { $0.severity == .error }) else { throw InputError(diagnostics) }
        return (file.object.configuration, diagnostics)
    }
}
