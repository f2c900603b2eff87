// Package record keeps what happened in a simulated world, and what its proxies logged.
package record

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Access is one line of a proxy's access log: which way it says that a call went.
type Access struct {
	Proxy     string // replica
	Request   int    // ID of an HTTP request; 0: it is the line of a connection
	At        time.Time
	Inbound   bool
	Caller    string
	Endpoint  string
	Replica   string // at the other end of the lane
	Result    string
	Ended     string
	Err       string
	Attempts  []Attempt
	LastTried string
}

// Tries are the attempts that an endpoint may have seen.
func (a *Access) Tries() (n int) {
	for _, t := range a.Attempts {
		if slices.Contains([]string{"unknown", "502", "503", "504"}, t.Result) {
			n++
		}
	}
	return n
}

// Attempt is one try of a proxy, to connect or to get an answer.
type Attempt struct{ Target, Result, Reason string }

// AccessLog collects what all proxies log, by caller.
type AccessLog struct {
	mu       sync.Mutex
	byCaller map[string][]Access
}

// NewAccessLog has nothing yet.
func NewAccessLog() *AccessLog { return &AccessLog{byCaller: make(map[string][]Access)} }

// Of are the lines of a caller.
func (l *AccessLog) Of(caller string) []Access {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byCaller[caller]
}

// Logger is for one proxy.
func (l *AccessLog) Logger(proxy string) *zap.Logger {
	return zap.New(&accessCore{log: l, proxy: proxy})
}

type accessCore struct {
	log   *AccessLog
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
	a := Access{
		Proxy: c.proxy, At: time.Now(), Inbound: text("direction") == "inbound", Caller: text("caller"), Endpoint: text("endpoint"),
		Result: text("result"), Ended: text("ended"), Err: text("error"),
	}
	a.Replica, _, _ = strings.Cut(text("lane"), "/")
	a.Request, _ = strconv.Atoi(text("request_id"))
	attempts, _ := m.Fields["attempts"].([]any)
	for _, t := range attempts {
		f, _ := t.(map[string]any)
		var tried Attempt
		tried.Target, _ = f["target"].(string)
		tried.Result, _ = f["result"].(string)
		tried.Reason, _ = f["reason"].(string)
		a.Attempts, a.LastTried = append(a.Attempts, tried), tried.Target
	}
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	c.log.byCaller[a.Caller] = append(c.log.byCaller[a.Caller], a)
	return nil
}

func (a Access) String() string {
	way := "outbound"
	if a.Inbound {
		way = "inbound"
	}
	return fmt.Sprintf("%s %s: result=%s ended=%q endpoint=%s replica=%s attempts=%+v error=%q",
		a.Proxy, way, a.Result, a.Ended, a.Endpoint, a.Replica, a.Attempts, a.Err)
}
