package failover

import (
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/eastway/eastway/discovery"
)

// NewAccessLog is a logger for Config.AccessLog that writes one JSON object per line to w: the time and the fields of
// the connection, nothing else.
func NewAccessLog(w zapcore.WriteSyncer) *zap.Logger {
	encoder := zapcore.NewJSONEncoder(zapcore.EncoderConfig{
		TimeKey:        "time",
		EncodeTime:     zapcore.RFC3339NanoTimeEncoder,
		EncodeDuration: zapcore.SecondsDurationEncoder,
	})
	return zap.New(zapcore.NewCore(encoder, w, zapcore.InfoLevel))
}

// Attempt is one try to have a connection accepted.
type Attempt struct {
	Target  string // address or peer
	Cluster string
	Result  string
	Reason  string // empty when accepted
	Took    time.Duration
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
	return nil
}

// entry is one line of the access log.
type entry struct {
	started       time.Time
	direction     string
	service       string
	port          uint16
	caller        string
	callerCluster string
	callerAt      discovery.Locality

	endpoint string
	cluster  string
	at       discovery.Locality
	lane     string

	up, down int64
	accepted time.Duration // 0: never
	attempts []Attempt
	result   string // for the metric
	ended    string
	err      error
}

func (e *entry) write(log *zap.Logger) {
	fields := []zap.Field{
		zap.String("direction", e.direction),
		zap.String("service", e.service),
		zap.Uint16("port", e.port),
		zap.String("caller", e.caller),
		zap.String("caller_cluster", e.callerCluster),
		zap.Stringer("caller_locality", e.callerAt),
		zap.String("endpoint", e.endpoint),
		zap.String("cluster", e.cluster),
		zap.Stringer("locality", e.at),
		zap.String("lane", e.lane),
		zap.Int64("bytes_in", e.up),
		zap.Int64("bytes_out", e.down),
		zap.Duration("duration", time.Since(e.started)),
		zap.Duration("time_to_accept", e.accepted),
		zap.Objects("attempts", e.attempts),
		zap.String("result", e.result),
		zap.String("ended", e.ended),
	}
	if e.err != nil {
		fields = append(fields, zap.String("error", clip(e.err.Error())))
	}
	log.Info("connection", fields...)
}

// clip bounds what another side chose.
func clip(s string) string {
	if len(s) > maxLogged {
		return s[:maxLogged]
	}
	return s
}
