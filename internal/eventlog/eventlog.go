package eventlog

import (
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/eastway/eastway/internal/clip"
)

// Of lines with the same message, burst are written per second, and one in thereafter beyond that: strangers that knock at the
// tunnels' port must not fill the disk. Metrics count all.
const (
	burst      = 100
	thereafter = 1000
)

// MaxText bounds, in bytes, each text of a line. What other sides choose is clipped shorter where it enters; this bounds what was
// forgotten there, such as the errors of libraries.
const MaxText = 1 << 10

// New is a log of JSON lines; its own failures cannot be reported anywhere.
func New(w io.Writer, level zapcore.Level) *zap.Logger {
	cfg := zap.NewProductionEncoderConfig()
	cfg.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	cfg.EncodeDuration = zapcore.StringDurationEncoder
	var core zapcore.Core = clipping{zapcore.NewCore(zapcore.NewJSONEncoder(cfg), zapcore.Lock(zapcore.AddSync(w)), level)}
	core = zapcore.NewSamplerWithOptions(core, time.Second, burst, thereafter)
	return zap.New(core, zap.ErrorOutput(zapcore.AddSync(io.Discard)))
}

// clipping is a zapcore.Core that clips texts.
type clipping struct{ zapcore.Core }

func (c clipping) With(fields []zapcore.Field) zapcore.Core {
	return clipping{c.Core.With(clipAll(fields))}
}

func (c clipping) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return to.AddCore(e, c)
	}
	return to
}

func (c clipping) Write(e zapcore.Entry, fields []zapcore.Field) error {
	e.Message = clip.Text(e.Message, MaxText)
	return c.Core.Write(e, clipAll(fields))
}

// clipAll returns fields, or a copy if something in them has to be changed.
func clipAll(fields []zapcore.Field) []zapcore.Field {
	out := fields
	for i := range fields {
		text, ok := textOf(&fields[i])
		if !ok {
			continue
		}
		if &out[0] == &fields[0] {
			out = append([]zapcore.Field(nil), fields...)
		}
		out[i] = zap.String(fields[i].Key, clip.Text(text, MaxText))
	}
	return out
}

// textOf is the text of a field whose value may be another side's. zap itself writes others, such as lists and objects.
func textOf(f *zapcore.Field) (string, bool) {
	switch f.Type {
	case zapcore.StringType:
		return f.String, true
	case zapcore.ByteStringType:
		b, ok := f.Interface.([]byte)
		return string(b), ok
	case zapcore.ErrorType:
		err, ok := f.Interface.(error)
		if !ok {
			return "", false
		}
		return text(err.Error), true
	case zapcore.StringerType:
		s, ok := f.Interface.(fmt.Stringer)
		if !ok {
			return "", false
		}
		return text(s.String), true
	default:
		return "", false
	}
}

// text survives a nil pointer in the value, as zap does.
func text(of func() string) (s string) {
	defer func() {
		if p := recover(); p != nil {
			s = "<nil>"
		}
	}()
	return of()
}
