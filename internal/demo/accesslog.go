package demo

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"
)

const (
	// maxQuoted is how many lines of the access logs are quoted per failure.
	maxQuoted = 4
	// maxAccessLine is longer than any line that a proxy writes, in bytes.
	maxAccessLine = 1 << 20
)

// fromPattern finds the connections that an application's error names.
var fromPattern = regexp.MustCompile(`from (127(?:\.\d{1,3}){3}:\d{1,5})`)

// quoteAccessLogs adds to each failure the lines that the proxies wrote about its
// connections; the source address names a connection in both.
func quoteAccessLogs(l layout, t topology, failures []Failure) error {
	wanted := make(map[string][]*Failure)
	for i := range failures {
		for _, m := range fromPattern.FindAllStringSubmatch(failures[i].Error, -1) {
			wanted[m[1]] = append(wanted[m[1]], &failures[i])
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	return scanAccessLogs(l, t, func(proxy, line string) {
		for addr, failures := range wanted {
			// The quote ends the port: 127.80.1.11:4000 is not 127.80.1.11:40001.
			if !strings.Contains(line, addr+`"`) {
				continue
			}
			for _, failure := range failures {
				if len(failure.AccessLog) < maxQuoted {
					failure.AccessLog = append(failure.AccessLog, proxy+": "+line)
				}
			}
		}
	})
}

// loggedCall is one connection from an application or the load, as its proxy logged it.
type loggedCall struct {
	begun    time.Time
	service  string // mocka, mockb or mockc
	from, to string // zone of the caller and of the endpoint
	answered bool   // an endpoint accepted it, and it ended as it should
	failures int    // attempts that failed before
}

// accessLine is what is read of a line of the access log.
type accessLine struct {
	Time      time.Time `json:"time"`
	Direction string    `json:"direction"`
	Service   string    `json:"service"`
	From      string    `json:"caller_locality"`
	To        string    `json:"locality"`
	Duration  float64   `json:"duration"` // seconds
	Result    string    `json:"result"`
	Attempts  []struct {
		Result string `json:"result"`
	} `json:"attempts"`
}

// call is the call between services that the line is about; false for other lines.
func (l *accessLine) call() (loggedCall, bool) {
	if l.Direction != "outbound" {
		return loggedCall{}, false // of a peer: its caller's proxy logs it too
	}
	c := loggedCall{
		begun:   l.Time.Add(-time.Duration(l.Duration * float64(time.Second))),
		service: strings.TrimPrefix(l.Service, namespace+"/"), from: zoneOf(l.From), to: zoneOf(l.To), answered: l.Result == "ok",
	}
	for _, a := range l.Attempts {
		// What lost a race was slower than another one, it did not fail.
		if a.Result != "accepted" && a.Result != "answered" && a.Result != "abandoned" {
			c.failures++
		}
	}
	return c, true
}

// zoneOf is the second part of a locality REGION/ZONE.
func zoneOf(locality string) string {
	_, zone, _ := strings.Cut(locality, "/")
	return zone
}

// readCalls reads the calls from all access logs. A line that a killed proxy has not finished is left out.
func readCalls(l layout, t topology) ([]loggedCall, error) {
	var calls []loggedCall
	err := scanAccessLogs(l, t, func(_, line string) {
		var parsed accessLine
		if json.Unmarshal([]byte(line), &parsed) != nil {
			return
		}
		if c, ok := parsed.call(); ok {
			calls = append(calls, c)
		}
	})
	return calls, err
}

// scanAccessLogs gives every line of every proxy's log to each.
func scanAccessLogs(l layout, t topology, each func(proxy, line string)) error {
	for _, p := range proxies(t.zones()...) {
		if err := scanAccessLog(l.access(p.zone, p.role), p.name(), each); err != nil {
			return fmt.Errorf("read the access log of %s: %w", p.name(), err)
		}
	}
	return nil
}

func scanAccessLog(path, proxy string, each func(proxy, line string)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxAccessLine)
	for lines.Scan() {
		each(proxy, lines.Text())
	}
	return lines.Err()
}
