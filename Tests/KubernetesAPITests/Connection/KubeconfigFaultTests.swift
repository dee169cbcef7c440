import Foundation
import ProxyCore
import Testing

@testable import KubernetesAPI

@Suite("A faulty kubeconfig")
struct KubeconfigFaultTests {
    /// A file, what it lacks or has too much, and every sentence that is said about it.
    struct Case: CustomTestStringConvertible, Sendable {
        var testDescription: String
        var text: String
        var expected: String

        init(_ name: String, _ text: String, _ expected: String) {
            testDescription = name
            self.text = text
            self.expected = expected
        }

        /// A file with one cluster and one user.
        init(_ name: String, cluster: String = "{server: https://a}", user: String = "{}", _ expected: String) {
            self.init(
                name,
                """
                current-context: m
                contexts: [{name: m, context: {cluster: c, user: u}}]
                clusters: [{name: x, cluster: {server: 5, odd: 1}}, {name: c, cluster: \(cluster)}]
                users: [{name: u, user: \(user)}]
                """, expected)
        }
    }

    static let files = [
        Case("empty", "", "k: error: has no documents"),
        Case("not YAML", "a: [", "k:2: error: is not valid YAML: did not find expected node content"),
        Case("a list", "- a", "k:1: error: is not an object"),
        Case(
            "of another kind", "kind: Service\napiVersion: v2\nodd: 1",
            """
            k:1: error: kind: Service is not Config
            k:2: error: apiVersion: v2 is not v1
            k:3: warning: odd: is not a known field; it is ignored
            k:1: error: current-context: is missing; it must name one of the contexts
            """),
        Case(
            "without the context", "current-context: m\ncontexts: [{name: a}, 5, {name: 6}]",
            """
            k:2: error: contexts[1]: 5 is not an object
            k:1: error: current-context: m names none of the contexts (a)
            """),
        Case(
            "without the entries", "current-context: m\ncontexts: [{name: m, context: {cluster: c, user: u}}]",
            """
            k:2: error: contexts[0].context.cluster: c names none of the clusters; there are none
            k:2: error: contexts[0].context.user: u names none of the users; there are none
            """),
        Case(
            "with entries twice",
            "current-context: m\ncontexts:\n- {name: m, context: {cluster: c}}\n- {name: m}\nclusters: [{name: c}]",
            """
            k:4: error: contexts[1].name: m is there twice
            k:5: error: clusters[0].cluster: is missing
            """),
    ]

    static let clusters = [
        Case(
            "no server", cluster: "{odd: 1}",
            """
            k:3: warning: clusters[1].cluster.odd: is not a known field; it is ignored
            k:3: error: clusters[1].cluster.server: is missing
            """),
        Case(
            "bad types", cluster: "{server: 5, insecure-skip-tls-verify: maybe}", user: "{token: 12345, password: [x]}",
            """
            k:3: error: clusters[1].cluster.server: 5 is not a string
            k:3: error: clusters[1].cluster.insecure-skip-tls-verify: maybe is not true or false
            k:4: error: users[0].user.token: is not a string
            k:4: error: users[0].user.password: is not a string
            """),
        Case(
            "bad server", cluster: "{server: 'a:6443'}",
            "k:3: error: clusters[1].cluster.server: 'a:6443' is not an address such as https://10.0.0.1:6443"),
        Case(
            "a proxy, a bad name, a missing file",
            cluster:
                "{server: https://a, proxy-url: http://p, tls-server-name: 10.0.0.1, certificate-authority: no.crt}",
            """
            k:3: error: clusters[1].cluster.proxy-url: http://p asks for a proxy, which is not supported
            k:3: error: clusters[1].cluster.tls-server-name: 10.0.0.1 is not the name of a host
            k:3: error: clusters[1].cluster.certificate-authority: no.crt cannot be opened: No such file or directory (FOLDER/no.crt)
            """),
        Case(
            "authority that is none",
            cluster:
                "{server: https://a, certificate-authority: k, certificate-authority-data: '*'}",
            """
            k:3: error: clusters[1].cluster.certificate-authority: k stands beside certificate-authority-data; only one of them can be used
            k:3: error: clusters[1].cluster.certificate-authority-data: is not base64
            """),
        Case(
            "insecure with an authority",
            cluster:
                "{server: https://a, certificate-authority-data: aGVsbG8=, insecure-skip-tls-verify: true}",
            """
            k:3: error: clusters[1].cluster.certificate-authority-data: holds no certificate in PEM
            k:3: error: clusters[1].cluster.insecure-skip-tls-verify: true goes against the certificate authority that is given beside it
            k:3: warning: clusters[1].cluster.insecure-skip-tls-verify: true lets whoever answers at https://a pass for the API server
            """),
        Case(
            "insecure", cluster: "{server: https://a, insecure-skip-tls-verify: true}",
            "k:3: warning: clusters[1].cluster.insecure-skip-tls-verify: true lets whoever answers at https://a pass for the API server"
        ),
    ]

    static let users = [
        Case(
            "what is not supported", user: "{auth-provider: {name: gcp}, as: root}",
            """
            k:4: error: users[0].user.auth-provider: is not supported
            k:4: error: users[0].user.as: is not supported
            """),
        Case(
            "two ways at once",
            user: "{token: hush, username: me, exec: {command: x, apiVersion: client.authentication.k8s.io/v1beta1}}",
            """
            k:4: error: users[0].user.username: me stands beside a token; only one of them can be used
            k:4: warning: users[0].user.exec: is not run, as the user has a token or a password
            """),
        Case(
            "no tokens", user: "{token: 'hu sh'}",
            "k:4: error: users[0].user.token: holds characters that a token cannot have"),
        Case(
            "no token file", user: "{tokenFile: /no/token}",
            "k:4: error: users[0].user.tokenFile: /no/token cannot be opened: No such file or directory"),
        Case(
            "half a certificate", user: "{client-key: k}",
            """
            k:4: error: users[0].user.client-key: k holds no private key in PEM that has no passphrase (FOLDER/k)
            k:4: error: users[0].user.client-certificate: is missing beside the client key
            """),
        Case(
            "a plugin without anything", user: "{exec: {}}",
            """
            k:4: error: users[0].user.exec.apiVersion: is missing; it must be client.authentication.k8s.io/v1 or client.authentication.k8s.io/v1beta1
            k:4: error: users[0].user.exec.command: is missing
            """),
        Case(
            "a plugin that wants a terminal",
            user:
                "{exec: {command: x, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Always, env: [{value: hush}], args: [hush, 5]}}",
            """
            k:4: error: users[0].user.exec.args[1]: is not a string
            k:4: error: users[0].user.exec.interactiveMode: Always asks for a terminal, which a daemon does not have
            k:4: error: users[0].user.exec.env[0].name: is missing or not the name of a variable
            """),
        Case(
            "a plugin of an old version",
            user: "{exec: {command: x, apiVersion: client.authentication.k8s.io/v1alpha1}}",
            "k:4: error: users[0].user.exec.apiVersion: client.authentication.k8s.io/v1alpha1 is not client.authentication.k8s.io/v1 or client.authentication.k8s.io/v1beta1"
        ),
        Case(
            "a plugin without a mode", user: "{exec: {command: x, apiVersion: client.authentication.k8s.io/v1}}",
            "k:4: error: users[0].user.exec.interactiveMode: is missing; it must be Never, IfAvailable or Always"),
    ]

    @Test("is told with file, line, field and value", arguments: files + clusters + users)
    func faults(_ fault: Case) throws {
        let folder = try TestFolder()
        let path = try folder.write(fault.text, to: "k")
        var found: [Diagnostic]
        do throws(InputError) {
            found = try ConnectionSettings.load(kubeconfig: path, environment: [:]).diagnostics
            #expect(!found.contains { $0.severity == .error })
        } catch {
            found = error.diagnostics
            #expect(found.contains { $0.severity == .error })
        }
        let text = found.map(\.description).joined(separator: "\n")
            .replacing("(\(folder.path)/", with: "(FOLDER/").replacing("\(folder.path)/", with: "")
        #expect(text == fault.expected)
    }
}
