namespace CampaignService.Hosting.OpenApi;

/// <summary>What a reader of the document is told before the first operation.</summary>
public static class ApiText
{
    public const string Description = """
        Campaigns sends messages to many people and can afterwards say of every single one what happened and why. A backend makes a
        **template**, then a **campaign** from it, adds **recipients** (by id or as a CSV file), sends, and reads the **ledger**.

        To try it here: press **Authorize**, give `appId` and `apiKey` (with the embedded database in Development: `demo` and `demo-key`), then
        run the examples of *Channels*, *Templates*, *Campaigns* and *Recipients* in that order; each builds on the one before.

        ### Authentication
        - Every call carries the headers `appId` and `apiKey`. A key has scopes: `full` (everything), `send` (campaigns and direct sends),
          `read` (every GET), `feed` (feed routes). Nothing of another app is ever visible: it is 404.
        - Feed routes act as a user: they also take the header `onBehalfOf` with that user's id. In their place a user's token from
          `POST /api/users/{id}/tokens` will do, as `Authorization: Bearer …` and alone: it opens the feed of that user and nothing else.
          Beside an `apiKey` it is not looked at.
        - `/api/apps` is for whoever runs the service: the header `operatorKey` holds what `Operator__Key` is set to. Unset, it is closed.

        ### Bodies
        JSON in UTF-8, members in camelCase, at most 32 MiB. Members that are not known are ignored. Times go out as RFC 3339 in UTC with
        milliseconds; they come in as RFC 3339 with an offset, or as a number of Unix seconds. Ids are opaque. Where a template or a channel
        is named, its id and its slug (`templateId`, `channelId`) will both do. PUT changes the members given and leaves the others.

        One object is answered as `{"data": {…}}`, a list as `{"data": […], "meta": {"limit", "count", "next"}}`.

        ### Paging
        Lists take `limit` and `cursor`. Give `meta.next` of one page as `cursor` to get the page behind it; it is `null` at the end. A cursor
        belongs to its list: one that was made up or comes from another list is refused. Any page costs the same, however far in.

        ### Limits
        Where the service limits the requests of a key in a minute, every answer to it carries `X-RateLimit-Limit`, `X-RateLimit-Remaining` and
        `X-RateLimit-Reset` (Unix seconds); what is over is 429 with `Retry-After`.

        ### Repeating
        A call whose answer was lost may or may not have been carried out. Give every POST that makes or sends something an `Idempotency-Key` of
        its own, and repeat it unchanged until it is answered: it is carried out once, and the answer of that time comes again, with the header
        `Idempotency-Replayed: true`. Keys are kept for 24 hours. Refusals are kept, too, but for 401, 403, 429 and 5xx. Uploads take no key, for
        repeating one adds nobody twice, nor do tokens, the secrets of webhooks and the operator's calls.

        ### Refusals
        Every refusal is `application/problem+json` (RFC 9457) with an `error` for programs: decide by `error.code`. A bad request lists all
        its faults at once in `error.details`. Checks run in this order: key (401, 403), shape (400), existence (404), state (409).

        | Status | `error.code` | Meaning |
        |---|---|---|
        | 400 | `ERR_BAD_REQUEST` | A member, parameter or file is not as it must be; `error.details` names each fault. |
        | 400 | `ERR_TARGET_LIMIT_EXCEEDED` | A direct notification names more than 10,000 receivers. |
        | 400 | `ERR_INVALID_VARIABLES` | A direct notification lacks values that its template requires; `error.details` names each. |
        | 401 | `ERR_UNAUTHORIZED` | Headers are missing, or app and key do not fit. |
        | 403 | `ERR_FORBIDDEN` | The key has no scope for this. |
        | 404 | `ERR_NOT_FOUND` | There is no such object in this app, or no such route. |
        | 405 | `ERR_METHOD_NOT_ALLOWED` | The route has no such method. |
        | 409 | `ERR_INVALID_STATE` | The object's state forbids it; `error.details` has the state and those in which it is allowed. |
        | 409 | `ERR_CONFLICT` | A name or id is taken, or another request was faster. |
        | 409 | `ERR_NO_RECIPIENTS` | The campaign has nobody to send to. |
        | 409 | `ERR_TEMPLATE_NOT_APPROVED` | The template's version is not approved, or the template is archived. |
        | 409 | `ERR_NO_ENABLED_CHANNEL` | No channel of the template is enabled. |
        | 409 | `ERR_NOTHING_TO_RETRY` | Nobody has a status that is to be tried again. |
        | 409 | `ERR_IDEMPOTENCY_IN_PROGRESS` | The request with this key is being worked on; repeat it shortly. |
        | 409 | `ERR_IDEMPOTENCY_ANSWER_LOST` | The request with this key was carried out and its answer lost; read what it changed. |
        | 413 | `ERR_TOO_LARGE` | The body or the file is larger than allowed. |
        | 415 | `ERR_UNSUPPORTED_MEDIA_TYPE` | The body is not of the type that the route takes. |
        | 422 | `ERR_IDEMPOTENCY_KEY_REUSED` | The key was used for another request. |
        | 429 | `ERR_TOO_MANY_REQUESTS` | Too much at once; wait `Retry-After` seconds. |
        | 500 | `ERR_OPERATION_FAILED` | A fault of the service, logged under `traceId`. |
        | 503 | `ERR_UNAVAILABLE` | The database cannot be reached. Nothing was changed; wait `Retry-After` seconds and try again. |
        """;

    /// <summary>The groups of routes, in the order in which somebody new needs them.</summary>
    public static readonly (string Name, string Description)[] Tags =
    [
        ("Channels", "Ways by which messages reach people."),
        ("Templates", "What is sent: content with variables, in versions that cannot be changed once they are approved."),
        ("Campaigns", "A template, an audience and a time; drafts until they are sent."),
        ("Recipients", "The audience of a campaign, and what became of each message."),
        ("Categories", "What messages are filed under in feeds."),
        ("Notifications", "Direct sends, without a campaign."),
        ("Feed", "What a user sees in the app."),
        ("Users", "The people whom an app knows."),
        ("Segments", "Groups of people, chosen by hand or by rule."),
        ("Webhooks", "What the service reports to servers of yours."),
        ("Analytics", "Numbers over time."),
        ("Apps and keys", "Tenants and their keys, for whoever runs the service."),
        ("Health", "For load balancers and monitoring."),
    ];
}
