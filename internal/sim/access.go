package sim

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// access is one line of a proxy's access log: which way it says that a call went.
type access struct {
	proxy     string // replica
	request   int    // ID of an HTTP request; 0: it is the line of a connection
	at        time.Time
	inbound   bool
	caller    string
	endpoint  string
	replica   string // at the other end of the lane
	result    string
	ended     string
	err       string
	attempts  []attempt
	lastTried string
}

// attempt is one try of a proxy, to connect or to get an answer.
type attempt struct{ target, result, reason string }

// accessLog collects what all proxies log, by caller.
type accessLog struct {
	mu       sync.Mutex
	byCaller map[string][]access
}

func (l *accessLog) of(caller string) []access {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byCaller[caller]
}

// logger is for one proxy.
func (l *accessLog) logger(proxy string) *zap.Logger {
	return zap.New(&accessCore{log: l, proxy: proxy})
}

type accessCore struct {
	log   *accessLog
	proxy string
}

func (*accessCore) Enabled(zapcore.Level) bool          { return true }
func (c *accessCore) With([]zapcore.Field) zapcore.Core { return c }
func (*accessCore) Sync() error                         { return nil }

func (c *accessCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return ce.AddCore(e, c)
}

func (c *accessCore) Write(_ zapcore.Entry, fields []zapcore.Field) error {
	m := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(m)
	}
	text := func(name string) string {
		s, _ := m.Fields[name].(string)
		return s
	}
	a := access{
		proxy: c.proxy, at: time.Now(), inbound: text("direction") == "inbound", caller: text("caller"), endpoint: text("endpoint"),
		result: text("result"), ended: text("ended"), err: text("error"),
	}
	a.replica, _, _ = strings.Cut(text("lane"), "/")
	a.request, _ = strconv.Atoi(text("request_id"))
	attempts, _ := m.Fields["attempts"].([]any)
	for _, t := range attempts {
		f, _ := t.(map[string]any)
		var tried attempt
		tried.target, _ = f["target"].(string)
		tried.result, _ = f["result"].(string)
		tried.reason, _ = f["reason"].(string)
		a.attempts, a.lastTried = append(a.attempts, tried), tried.target
	}
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	c.log.byCaller[a.caller] = append(c.log.byCaller[a.caller], a)
	return nil
}

func (a access) String() string {
	way := "outbound"
	if a.inbound {
		way = "inbound"
	}
	return fmt.Sprintf("%s %s: result=%s ended=%q endpoint=%s replica=%s attempts=%+v error=%q",
		a.proxy, way, a.result, a.ended, a.endpoint, a.replica, a.attempts, a.err)
}
