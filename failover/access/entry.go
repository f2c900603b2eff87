package access

import (
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/clip"
)

// NewLog is a logger that writes one JSON object per line to w: the time and the fields of the connection, nothing else.
func NewLog(w zapcore.WriteSyncer) *zap.Logger {
	encoder := zapcore.NewJSONEncoder(zapcore.EncoderConfig{
		TimeKey:        "time",
		EncodeTime:     zapcore.RFC3339NanoTimeEncoder,
		EncodeDuration: zapcore.SecondsDurationEncoder,
	})
	return zap.New(zapcore.NewCore(encoder, w, zapcore.InfoLevel))
}

// TLSFailed is the result of an attempt whose endpoint took the connection and with which there was no TLS.
const TLSFailed = "tls"

// Attempt is one try to have a connection accepted.
type Attempt struct {
	Target  string // address or peer
	Cluster string
	Result  string
	Reason  string // empty when accepted
	Took    time.Duration
	// AtPeer is the part of it that passed at a peer; 0: not known.
	AtPeer time.Duration
}

// MarshalLogObject implements zapcore.ObjectMarshaler.
func (a Attempt) MarshalLogObject(e zapcore.ObjectEncoder) error {
	e.AddString("target", a.Target)
	e.AddString("cluster", a.Cluster)
	e.AddString("result", a.Result)
	if a.Reason != "" {
		e.AddString("reason", a.Reason)
	}
	e.AddDuration("took", a.Took)
	if a.AtPeer > 0 {
		e.AddDuration("at_peer", a.AtPeer)
	}
	return nil
}

// Directions of a connection, seen from this process.
const (
	// Entering: a client outside of the cluster opened it, to an entry.
	Entering = "entering"
	// Outbound: an application of this cluster opened it here.
	Outbound = "outbound"
	// Inbound: a peer opened it.
	Inbound = "inbound"
)

// Values of Entry.Result.
const (
	OK             = "ok"
	Reset          = "reset"
	Lost           = "lost"
	Idle           = "idle"
	Stopped        = "stopped"
	NoEndpoint     = "no_endpoint"
	Timeout        = "timeout"
	UnknownOutcome = "unknown_outcome"
	ClientReset    = "client_reset"
	Limit          = "limit"
	RateLimited    = "rate_limited"
	Refused        = "refused"
	Denied         = "denied"
	Error          = "error"
	Probe          = "probe"
)

// UnknownService stands for what a peer requested and the cluster does not have: names that others choose are no labels.
const UnknownService = "unknown"

// Entry is one line of the access log.
type Entry struct {
	Started        time.Time
	Direction      string
	Service        string
	Port           uint16
	Caller         string
	CallerCluster  string
	CallerLocality discovery.Locality
	// PeerAddress is that of the peer's proxy whose stream it is; empty: the caller is one of the own cluster.
	PeerAddress string

	Endpoint string
	Cluster  string
	Locality discovery.Locality
	Lane     string

	// Up and Down are the bytes towards the endpoint and from it.
	Up, Down int64
	Accepted time.Duration // until an endpoint accepted; 0: none did
	Attempts []Attempt
	// Result is how it ended, one of the constants above; Ended names the end that did it.
	Result string
	Ended  string
	Err    error

	// HTTP makes it the line of a request; nil: it is that of a connection.
	HTTP *HTTP
	// Drill is the one under way for calls of its kind; nil: there is none.
	Drill Drill

	took time.Duration
}

// Drill is what a drill has to do with a call.
type Drill interface {
	// Name is that of the drill if the call is a part of it, else empty.
	Name() string
	// Accepted is called once an endpoint has accepted, or the head of an answer is there.
	Accepted(e *Entry)
	// Finished is called once, with the complete entry.
	Finished(e *Entry)
}

// HTTP is what a line has of a request. The names in the log are Envoy's.
type HTTP struct {
	Method    string
	Path      string
	Protocol  string
	Authority string
	UserAgent string
	RequestID string
	// TraceID is that of the request's W3C trace context.
	TraceID string
	// Status of the answer; 0: there was none.
	Status int
	// Judged is Status, or for gRPC what the status in an endpoint's answer stands for; 0: there was no whole answer.
	Judged int
	// Route is the HTTPRoute that the request matched, at an entry; empty: none.
	Route string
}

// AcceptedNow is that an endpoint has accepted: its name is filled in.
func (e *Entry) AcceptedNow() {
	e.Accepted = time.Since(e.Started)
	if e.Drill != nil {
		e.Drill.Accepted(e)
	}
}

// Describe is what the log has of a request, whose answer is not there yet.
func Describe(r *http.Request) *HTTP {
	return &HTTP{
		Method: Clip(r.Method), Path: Clip(r.RequestURI), Protocol: r.Proto,
		Authority: Clip(r.Host), UserAgent: Clip(r.UserAgent()), RequestID: Clip(r.Header.Get("X-Request-Id")),
		TraceID: TraceID(r.Header.Get("Traceparent")),
	}
}

func (h *HTTP) addTo(o zapcore.ObjectEncoder) {
	o.AddString("method", h.Method)
	o.AddString("path", h.Path)
	o.AddString("protocol", h.Protocol)
	o.AddString("authority", h.Authority)
	o.AddString("user_agent", h.UserAgent)
	o.AddString("request_id", h.RequestID)
	o.AddString("trace_id", h.TraceID)
	o.AddInt64("response_code", int64(h.Status))
	if h.Route != "" {
		o.AddString("route_name", h.Route)
	}
}

// responseFlag is Envoy's flag for how a request ended, "-" if it ended as it should.
func (e *Entry) responseFlag() string {
	switch e.Result {
	case NoEndpoint:
		if len(e.Attempts) == 0 {
			return "UH" // no healthy upstream
		}
		return "UF" // upstream connection failure
	case UnknownOutcome, Reset:
		return "UC" // upstream connection termination
	case Timeout:
		return "UT" // upstream request timeout
	case Limit:
		return "UO" // upstream overflow
	case RateLimited:
		return "RL" // rate limited
	case ClientReset:
		return "DC" // downstream connection termination
	case Refused:
		return "DPE" // downstream protocol error
	case Error:
		return "UPE" // upstream protocol error
	}
	if n := len(e.Attempts); n > 1 && e.Attempts[n-1].Result == strconv.Itoa(e.HTTP.Status) {
		return "URX" // upstream retry limit exceeded
	}
	return "-"
}

// Write writes the line. The entry must not change any more.
func (e *Entry) Write(log *zap.Logger) {
	if line := log.Check(zap.InfoLevel, "connection"); line != nil { // else there is no access log
		e.took = time.Since(e.Started)
		line.Write(zap.Inline(e))
	}
}

// MarshalLogObject implements zapcore.ObjectMarshaler. A list of fields would be a fifth of what a request allocates.
func (e *Entry) MarshalLogObject(o zapcore.ObjectEncoder) error {
	o.AddString("direction", e.Direction)
	o.AddString("service", e.Service)
	o.AddUint16("port", e.Port)
	o.AddString("caller", e.Caller)
	o.AddString("caller_cluster", e.CallerCluster)
	o.AddString("caller_locality", e.CallerLocality.String())
	o.AddString("peer_address", e.PeerAddress)
	o.AddString("endpoint", e.Endpoint)
	o.AddString("cluster", e.Cluster)
	o.AddString("locality", e.Locality.String())
	o.AddString("lane", e.Lane)
	o.AddInt64("bytes_in", e.Up)
	o.AddInt64("bytes_out", e.Down)
	o.AddDuration("duration", e.took)
	o.AddDuration("time_to_accept", e.Accepted)
	zap.Objects("attempts", e.Attempts).AddTo(o)
	o.AddString("result", e.Result)
	o.AddString("ended", e.Ended)
	if e.Err != nil {
		o.AddString("error", Clip(e.Err.Error()))
	}
	if e.Drill != nil && e.Drill.Name() != "" {
		o.AddString("drill", e.Drill.Name())
	}
	if e.HTTP != nil {
		e.HTTP.addTo(o)
		o.AddString("response_flags", e.responseFlag())
		o.AddString("upstream_host", e.Endpoint)
		if n := len(e.Attempts); n > 0 && e.Attempts[n-1].Result == TLSFailed {
			o.AddString("upstream_transport_failure_reason", e.Attempts[n-1].Reason)
		}
	}
	return nil
}

// MaxText bounds, in bytes, each text in the access log that another side chose.
const MaxText = 253

// Clip bounds what another side chose.
func Clip(s string) string { return clip.Text(s, MaxText) }
