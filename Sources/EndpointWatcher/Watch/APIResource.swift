package import ProxyCore

/// What is listed and watched of one kind of objects.
///
/// Paths, selectors and parameters are those of the Kubernetes API; the selections are kube-proxy's.
package struct APIResource: Hashable, Sendable {
    package var kind: ObjectKind
    package var path: String
    package var labelSelector = ""
    package var fieldSelector = ""
    /// True for a kind that supported servers may not have: 404 says that none exist.
    package var mayBeMissing = false

    /// How many objects a page of a list has at most.
    static let pageSize = 500

    /// Everything that a proxy on the node reads.
    package static func all(node: String) -> [APIResource] {
        [
            APIResource(
                kind: .service, path: "/api/v1/services", labelSelector: "!service.kubernetes.io/service-proxy-name",
                fieldSelector: "spec.clusterIP!=None"),
            APIResource(
                kind: .endpointSlice, path: "/apis/discovery.k8s.io/v1/endpointslices",
                labelSelector: "!service.kubernetes.io/headless"),
            APIResource(kind: .node, path: "/api/v1/nodes", fieldSelector: "metadata.name=\(node)"),
            APIResource(kind: .serviceCIDR, path: "/apis/networking.k8s.io/v1/servicecidrs", mayBeMissing: true),
        ]
    }

    /// A page of a list: the first one, or the one that `token` continues with.
    ///
    /// Version 0 lets the server answer from its cache, all at once if it likes to.
    func page(after token: String?, accept: String) -> APIRequest {
        var query = selectors
        query.append(("limit", String(Self.pageSize)))
        query.append(token.map { ("continue", $0) } ?? ("resourceVersion", "0"))
        return APIRequest(path: path, query: query, accept: accept)
    }

    /// The changes after a version.
    func watch(after version: String, seconds: Int, accept: String) -> APIRequest {
        APIRequest(path: path, query: watchQuery(seconds) + [("resourceVersion", version)], accept: accept)
    }

    /// Every object, a bookmark, and then the changes.
    func streamingList(seconds: Int, accept: String) -> APIRequest {
        let query = [("sendInitialEvents", "true"), ("resourceVersionMatch", "NotOlderThan"), ("resourceVersion", "")]
        return APIRequest(path: path, query: watchQuery(seconds) + query, accept: accept)
    }

    private var selectors: [(name: String, value: String)] {
        [("labelSelector", labelSelector), ("fieldSelector", fieldSelector)].filter { !$0.1.isEmpty }
    }

    private func watchQuery(_ seconds: Int) -> [(name: String, value: String)] {
        selectors + [("watch", "true"), ("allowWatchBookmarks", "true"), ("timeoutSeconds", String(seconds))]
    }
}
