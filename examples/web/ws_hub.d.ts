// Made of the JSDoc in ws_hub.js by tests/web/types_test.mjs.
/**
 * Delay before a connection attempt: min(30 s, baseMs * 2^attempt + random(0
 * to 1000) ms). The jitter keeps the clients of a restarted server apart.
 *
 * @param {number} attempt 0 for the first
 * @param {number} baseMs
 * @param {number} random 0 <= x < 1
 * @returns {number} milliseconds, 0 to 30000
 */
export function backoffMs(attempt: number, baseMs: number, random: number): number;
/** Why a request failed, or what the server complained about. */
export class WsHubError extends Error {
    /**
     * @param {string} code the server's (`forbidden`, `limit`, `rate`...), or the
     *   client's own: `offline`, `queue_full`, `lost` (sent, no answer: it may
     *   have arrived), `timeout`, `too_large`, `bad_data` (no JSON), `buffered`, `closed`,
     *   `bad_frame`, `connect`
     * @param {string} [detail]
     * @param {string} [channel]
     */
    constructor(code: string, detail?: string, channel?: string);
    code: string;
    channel: string | undefined;
}
/** One handler on one channel; what `WsHub.subscribe` returns. */
export class Subscription {
    /**
     * @param {string} channel
     * @param {Promise<void>} ready
     * @param {() => void} end
     */
    constructor(channel: string, ready: Promise<void>, end: () => void);
    /** @type {string} */
    channel: string;
    /**
     * Fulfilled when messages flow for the first time; rejected if refused.
     * @type {Promise<void>}
     */
    ready: Promise<void>;
    /** The handler is not called again. */
    unsubscribe(): void;
    #private;
}
export class WsHub {
    /**
     * Connects at once, and stays connected until `close()`.
     *
     * @param {string | URL} url ws: or wss:; a path is taken on the page's host
     * @param {Options} [options]
     */
    constructor(url: string | URL, options?: Options);
    /** @returns {State} */
    get state(): State;
    /** The server's name for this connection; null before the first one. */
    get conn(): string | null;
    /** @returns {Quality} */
    get quality(): Quality;
    /**
     * @template {keyof EventMap} K
     * @param {K} type
     * @param {(event: EventMap[K]) => void} listener
     * @returns {() => void} stops it
     */
    on<K extends keyof EventMap>(type: K, listener: (event: EventMap[K]) => void): () => void;
    /**
     * Get the messages of a channel, now and after every reconnect. Several
     * handlers share one subscription of the server's.
     *
     * @param {string} channel 1 to 255 bytes of UTF-8
     * @param {MessageHandler} handler
     * @param {SubscribeOptions} [options]
     * @returns {Subscription}
     */
    subscribe(channel: string, handler: MessageHandler, options?: SubscribeOptions): Subscription;
    /**
     * @param {string} channel
     * @param {any} data anything that JSON can say
     * @param {PublishOptions} [options]
     * @returns {Promise<void>} fulfilled when the server has taken it; rejected
     *   with a WsHubError. A rejection that nobody handles is dropped.
     */
    publish(channel: string, data: any, options?: PublishOptions): Promise<void>;
    /**
     * Who is on a channel. Servers without presence answer `unknown_op`.
     *
     * @param {string} channel
     * @returns {Promise<Member[]>}
     */
    presence(channel: string): Promise<Member[]>;
    /** @returns {Promise<number>} round trip in milliseconds */
    ping(): Promise<number>;
    /** Try now instead of later; also after the server closed for good. */
    reconnect(): void;
    /** Close for good. @param {number} [code] @param {string} [reason] */
    close(code?: number, reason?: string): void;
    #private;
}
/**
 * `connecting`: until the server's welcome. `waiting`: for the next try.
 * `closed`: by `close()`, or by the server for good.
 */
export type State = "connecting" | "open" | "waiting" | "closed";
export type StateEvent = {
    state: State;
    previous: State;
    /**
     * failed or unstable connections in a row
     */
    attempt: number;
    /**
     * delay until the next try; 0 unless waiting
     */
    retryInMs: number;
    /**
     * close code, 0 if there was none
     */
    code: number;
    /**
     * of the close
     */
    reason: string;
};
/**
 * messages that this client did not get: fetch the state
 */
export type Gap = {
    channel: string;
    /**
     * null: unknown
     */
    missed: number | null;
    /**
     * `backpressure`, `broker`, `history`; `reconnect`:
     * the client was away and the channel has no history to resume from
     */
    reason: string;
};
export type GoAway = {
    /**
     * `drain`, `rebalance`, `shed`
     */
    reason: string;
    /**
     * when the client will reconnect
     */
    reconnectMs: number;
    /**
     * where the server wants it, `long-poll`
     */
    transport?: string;
    intervalMs?: number;
};
export type Member = {
    user: string;
    conn: string;
};
export type Quality = {
    /**
     * answers take longer than `slowMs`, or the server
     * has dropped messages because the link does not keep up (in the last 5 s,
     * and until a quick answer)
     */
    slow: boolean;
    /**
     * the latest answer's round trip
     */
    rttMs: number | null;
};
export type EventMap = {
    state: StateEvent;
    gap: Gap;
    error: WsHubError;
    goaway: GoAway;
    quality: Quality;
};
export type MessageInfo = {
    channel: string;
    seq?: number;
};
export type MessageHandler = (data: any, info: MessageInfo) => void;
export type SubscribeOptions = {
    /**
     * the place to fetch the channel's state
     */
    gap?: (gap: Gap) => void;
    join?: (member: Member) => void;
    leave?: (member: Member) => void;
};
export type PublishOptions = {
    /**
     * default `normal`
     */
    class?: "critical" | "normal" | "volatile";
    /**
     * for conflating channels
     */
    key?: string;
    /**
     * default true: the sender gets it, too
     */
    echo?: boolean;
};
/**
 * everything from outside; tests replace it
 */
export type Env = {
    /**
     * a constructor; in Node that of the package "ws"
     */
    WebSocket?: any;
    /**
     * milliseconds, never going back
     */
    now?: () => number;
    /**
     * 0 <= x < 1
     */
    random?: () => number;
    setTimeout?: (call: () => void, ms: number) => any;
    clearTimeout?: (timer: any) => void;
    /**
     * null: no HTTP probe
     */
    fetch?: any;
    /**
     * tells of `visibilitychange`
     */
    document?: any;
    /**
     * tells of `online` and `offline`
     */
    window?: any;
    /**
     * gets what handlers throw
     */
    reportError?: (error: unknown) => void;
};
export type Options = {
    /**
     * of the back-off; default 500
     */
    baseMs?: number;
    /**
     * a connection that lives so long resets the
     * attempt counter; default 10000
     */
    stableMs?: number;
    /**
     * from connecting to the welcome; default 10000
     */
    welcomeMs?: number;
    /**
     * until a command without an answer has failed;
     * default 10000
     */
    answerMs?: number;
    /**
     * until a silent link is dead, after a ping;
     * default 10000
     */
    pongMs?: number;
    /**
     * silence before a ping; default: what the server
     * says in its welcome
     */
    pingMs?: number;
    /**
     * default 2000
     */
    slowMs?: number;
    /**
     * what publish does without a
     * connection; default `refuse`
     */
    offline?: "refuse" | "queue";
    /**
     * messages in that queue; default 100
     */
    queueMax?: number;
    /**
     * of one command, the server's
     * `max_json_bytes`; default 65536
     */
    maxBytes?: number;
    /**
     * unsent, above it publish is refused;
     * default 1 MiB
     */
    maxBufferedBytes?: number;
    /**
     * URL that is asked for Retry-After when a
     * handshake failed; default: the server's own, over HTTP
     */
    probe?: string | false;
    /**
     * name the lost connection to the server, as
     * the query parameter `replaces`; default true
     */
    replaces?: boolean;
    env?: Env;
};
