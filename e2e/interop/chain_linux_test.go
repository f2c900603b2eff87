package interop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// ending is a request behind those of a case, after which a server closes the connection, if it has taken all before it for
	// requests.
	ending = "GET /ending HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"
	// quiet is how long a server may be silent before the client ends its side. nginx and haproxy go on with what they have, so
	// that it may be short; Eastway takes the client for gone, but answers every case but a few.
	quiet, eastwayQuiet = 300 * time.Millisecond, 10 * time.Second
)

// chain is the hops from a client to a recorder.
type chain struct {
	name  string
	front string // HOST:PORT of the first one
	quiet time.Duration
	back  *recorder
	read  int // records that were looked at
}

// result is what one connection through a chain has come to.
type result struct {
	// statuses of the answers, without interim ones, and which records they are for.
	statuses, answered []int
	// records that the case has made.
	records []record
}

// verdict is short.
func (r *result) verdict() string {
	var b strings.Builder
	for i, s := range r.statuses {
		if i > 2 {
			fmt.Fprintf(&b, "+%d", len(r.statuses)-i)
			break
		}
		fmt.Fprintf(&b, "%d ", s)
	}
	if b.Len() == 0 {
		return "closed"
	}
	return strings.TrimSpace(b.String())
}

// accepts is true when the server has taken all of the case for requests.
func (r *result) accepts() bool {
	return len(r.records) > 0 && r.records[len(r.records)-1].target == "/ending"
}

// refuses is true when the server has passed on nothing at all.
func (r *result) refuses() bool { return len(r.records) == 0 }

// run sends a case, and then a request on a connection of its own whose answer must be for it.
func (c *chain) run(input string, n int) (*result, error) {
	if late, _ := c.back.since(c.read); len(late) > 0 {
		return nil, fmt.Errorf("after the case before: the endpoint got %s", late[0].frame())
	}
	answer, err := c.exchange(input + ending)
	if err != nil {
		return nil, err
	}
	r := parseAnswers(answer)
	target := fmt.Sprintf("/probe-%d", n)
	answer, err = c.exchange("GET " + target + " HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
	if err != nil {
		return nil, err
	}
	probe := parseAnswers(answer)
	r.records, c.read = c.back.since(c.read)
	at := slices.IndexFunc(r.records, func(got record) bool { return got.target == target })
	if at < 0 || !slices.Equal(probe.answered, []int{r.records[at].number}) {
		return r, fmt.Errorf("the next client got the answer to another request: %q", answer)
	}
	r.records = slices.Delete(r.records, at, at+1)
	err = r.check()
	return r, err
}

// check that each record has an answer, in their order. Only one whose body broke off may have none: nothing follows it on its
// connection.
func (r *result) check() error {
	answered := r.answered
	for _, got := range r.records {
		switch {
		case len(answered) > 0 && answered[0] == got.number:
			answered = answered[1:]
		case got.whole:
			return fmt.Errorf("the endpoint got %s, and the client no answer to it", got.frame())
		}
	}
	if len(answered) > 0 {
		return fmt.Errorf("the client got an answer to request %d, which is not of its connection", answered[0])
	}
	return nil
}

// within is nil when the records are some of those that the front alone has made, in their order. A request whose body broke off
// may have come less far than here.
func (r *result) within(front *result) error {
	sent := front.records
	for _, got := range r.records {
		i := slices.IndexFunc(sent, func(s record) bool { return s.matches(&got) })
		switch {
		case i >= 0:
			sent = sent[i+1:]
		case got.whole:
			return fmt.Errorf("the endpoint got %s, which the front has not sent: %v", got.frame(), front.frames())
		}
	}
	return nil
}

// frames of all records.
func (r *result) frames() (frames []string) {
	for _, got := range r.records {
		frames = append(frames, got.frame())
	}
	return frames
}

// exchange sends all, and reads until the server closes the connection.
func (c *chain) exchange(input string) ([]byte, error) {
	dialer := net.Dialer{Timeout: patience}
	dialed, err := dialer.Dial("tcp", c.front)
	if err != nil {
		return nil, err
	}
	conn := dialed.(*net.TCPConn)
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	_, _ = io.WriteString(conn, input) // the server may have refused it by now
	var got bytes.Buffer
	buf := make([]byte, 64<<10)
	for wait := c.quiet; ; {
		if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return nil, err
		}
		n, err := conn.Read(buf)
		got.Write(buf[:n])
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && wait == c.quiet:
			wait = patience
			_ = conn.CloseWrite() // it may be closed by now
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, fmt.Errorf("%s does not close the connection; so far it sent %q", c.name, got.String())
		default: // the end, or a reset
			return got.Bytes(), nil
		}
	}
}

// parseAnswers finds heads and numbers of records: answers of the endpoint have nothing else in their bodies, and of the hops' own
// answers the bodies do not matter.
func parseAnswers(answer []byte) *result {
	r := &result{}
	for _, m := range regexp.MustCompile(`(?m)^HTTP/1\.[01] ([2-9]\d\d|101)|(?i)\b`+seenHeader+`: (\d+)`).FindAllSubmatch(answer, -1) {
		if status, err := strconv.Atoi(string(m[1])); err == nil {
			r.statuses = append(r.statuses, status)
		}
		if number, err := strconv.Atoi(string(m[2])); err == nil && !slices.Contains(r.answered, number) {
			r.answered = append(r.answered, number)
		}
	}
	return r
}
