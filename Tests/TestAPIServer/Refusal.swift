/// A request that is answered with a Status object instead of what it asked for.
///
/// The texts and reasons are those that a real server's answers in `golden/apiserver` have, or are written after them.
struct Refusal: Error, Sendable {
    var code: Int
    var reason: String
    var message: String
    /// Left out of the body where nil.
    var details: JSONValue?
    /// Seconds, for the header of that name and for the details.
    var retryAfter: Int?

    var status: JSONValue {
        var status: JSONValue = [
            "kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Failure", "message": .string(message),
            "reason": .string(reason), "code": .integer(code),
        ]
        if let details { status["details"] = details }
        if let retryAfter { status["details"]["retryAfterSeconds"] = .integer(retryAfter) }
        return status
    }

    static let unauthorized = Refusal(code: 401, reason: "Unauthorized", message: "Unauthorized")
    static let notFound = Refusal(
        code: 404, reason: "NotFound", message: "the server could not find the requested resource", details: [:])
    static let methodNotAllowed = Refusal(
        code: 405, reason: "MethodNotAllowed",
        message: "the server does not allow this method on the requested resource", details: [:])
    static let notAcceptable = Refusal(
        code: 406, reason: "NotAcceptable",
        message: "only the following media types are accepted: application/json, application/vnd.kubernetes.protobuf")
    static let expiredVersion = Refusal(
        code: 410, reason: "Expired", message: "The resourceVersion for the provided list is too old.")
    static let expiredContinue = Refusal(
        code: 410, reason: "Expired",
        message: "The provided continue parameter is too old to display a consistent list result.")

    static func badRequest(_ message: String) -> Refusal {
        Refusal(code: 400, reason: "BadRequest", message: message)
    }

    static func forbidden(user: String, verb: String, resource: APIResource) -> Refusal {
        var details: JSONValue = ["kind": .string(resource.rawValue)]
        if !resource.group.isEmpty { details["group"] = .string(resource.group) }
        return Refusal(
            code: 403, reason: "Forbidden",
            message: """
                \(resource.rawValue) is forbidden: User "\(user)" cannot \(verb) resource "\(resource.rawValue)" \
                in API group "\(resource.group)" at the cluster scope
                """,
            details: details)
    }

    static func expiredWatch(from version: Int, horizon: Int) -> Refusal {
        Refusal(code: 410, reason: "Expired", message: "too old resource version: \(version) (\(horizon))")
    }

    /// A list is wanted at a version that the server has not reached.
    static func tooLarge(version: Int, current: Int) -> Refusal {
        Refusal(
            code: 504, reason: "Timeout",
            message: "Timeout: Too large resource version: \(version), current: \(current)",
            details: [
                "causes": [["reason": "ResourceVersionTooLarge", "message": "Too large resource version"]]
            ],
            retryAfter: 1)
    }

    /// What a server says to an option of a list or watch that it does not allow.
    static func invalidOption(_ field: String, _ text: String, code: Int = 422) -> Refusal {
        let message = "Forbidden: \(text)"
        return Refusal(
            code: code, reason: code == 422 ? "Invalid" : "BadRequest",
            message: "ListOptions.meta.k8s.io \"\" is invalid: \(field): \(message)",
            details: [
                "group": "meta.k8s.io", "kind": "ListOptions",
                "causes": [
                    ["reason": "FieldValueForbidden", "message": .string(message), "field": .string(field)]
                ],
            ])
    }

    /// A status that a test asks for.
    static func demanded(_ code: Int, retryAfter: Int?) -> Refusal {
        let known: [Int: (reason: String, message: String)] = [
            400: ("BadRequest", "the request is bad"), 401: ("Unauthorized", "Unauthorized"),
            403: ("Forbidden", "the request is forbidden"), 404: ("NotFound", Self.notFound.message),
            410: ("Expired", Self.expiredVersion.message),
            422: ("Invalid", "the request is invalid"),
            429: ("TooManyRequests", "too many requests, please try again later"),
            500: ("InternalError", "an internal error occurred"),
            503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
            504: ("Timeout", "the request timed out"),
        ]
        let (reason, message) = known[code] ?? ("", "status \(code)")
        return Refusal(code: code, reason: reason, message: message, retryAfter: retryAfter)
    }
}
