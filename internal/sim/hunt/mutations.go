package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// mutation breaks one rule of the product.
type mutation struct {
	name string
	// in is the folder below which the old text of each edit occurs exactly once, tests left out: code can be moved.
	in    string
	edits []edit
}

type edit struct{ old, new string }

// mutations are found within mutationSeeds seeds each.
//
//nolint:funlen // a table
func mutations() []mutation {
	return []mutation{
		{"what may have been executed is sent to the next endpoint", "failover", []edit{{
			"return verdict{result: resultUnknown, unknown: true}",
			"return verdict{result: resultLost, elsewhere: true}",
		}}},
		{"an attempt that got bytes is given up for another", "failover", []edit{{
			"return g.state.CompareAndSwap(gateOpen, gateClosed) || g.state.Load() == gateClosed",
			"g.state.Store(gateClosed); return true",
		}}},
		{
			"a stream is accepted only when the endpoint answers, and refused if it does not", "tunnel", []edit{
				{"	inData  int         // bytes", "	late    *Incoming\n	lateAnswer *tunnelpb.Answer\n	inData  int         // bytes"},
				{"	if err := in.write(a); err != nil {\n		return nil, err\n	}\n	return in.stream, nil", lateAccept},
				{"func (s *Stream) Write(p []byte) (int, error) {\n", "func (s *Stream) Write(p []byte) (int, error) {\n	s.acceptLate()\n"},
				{"func (s *Stream) CloseWrite() error {\n", "func (s *Stream) CloseWrite() error {\n	s.acceptLate()\n"},
				{"func (s *Stream) Reset(reason string) {\n", lateReset},
			},
		},
		{"a stream that stops without an end record reads as ended", "tunnel", []edit{{
			"			return 0, s.readFailed(err)\n		case t == wire.End:",
			"			_ = s.readFailed(err)\n			return 0, io.EOF\n		case t == wire.End:",
		}}},
		{"a half-close is not sent", "tunnel", []edit{{
			"	if err := s.writeRaw(end[:]); err != nil {\n		return err\n	}\n",
			"",
		}}},
		{"a reset is not sent on the control connection", "tunnel", []edit{{
			"		s.link.sendReset(s.key, reason)\n",
			"		_ = reason\n",
		}}},
		{"a suspect link stays suspect", "tunnel", []edit{{
			"	default:\n		v.state = Alive\n",
			"	default:\n",
		}}},
		{"GoAway is ignored", "tunnel", []edit{{
			"	first = p.goAwayAt.IsZero()\n	p.avoid(now)\n	return first\n",
			"	_ = now\n	return false\n",
		}}},
		{"what returns has its full share at once", "failover", []edit{{
			"t.state, t.rampFrom = Ramping, time.Now()",
			"t.state = OK",
		}}},
		{"what is ejected is never probed", "failover", []edit{{
			"			if !now.Before(t.until) {\n",
			"			if false {\n",
		}}},
		{"what is ejected is not tried when all else failed", "failover", []edit{{
			"		if t == nil {\n			continue // the catalog has just dropped it\n		}",
			"		if t == nil || h.State == Ejected {\n			continue\n		}",
		}}},
		{"what was sent before a refusal is not sent again", "failover", []edit{{
			"e.pump = &pump{stream: s, done: make(chan struct{})}",
			"e.pump = &pump{stream: s, done: make(chan struct{}), written: len(e.copied)}",
		}}},
		{"a half-close that came early is lost", "failover", []edit{{
			"	err := p.stream.CloseWrite()\n	p.ended = err == nil\n	return err",
			"	p.ended = true\n	return nil",
		}}},
		{"pods that terminate are not used, though nothing else is there", "failover", []edit{{
			"if !e.Ready && !e.Terminating ||",
			"if !e.Ready ||",
		}}},
		{"near and far are alike", "failover", []edit{{
			"cmp.Or(cmp.Compare(a.class, b.class), a.rank.compare(b.rank))",
			"cmp.Compare(a.class, b.class)",
		}}},
		{"equally loaded endpoints are not shuffled", "failover", []edit{{
			"sorted[i], sorted[j] = sorted[j], sorted[i]",
			"_ = j",
		}}},
		{"a replica that refuses while it drains is not followed by another", "failover", []edit{{
			"return verdict{result: resultRefused, elsewhere: true}",
			"return verdict{result: resultUnknown, unknown: true}",
		}}},
		{"draining does not wait for connections", "failover", []edit{{
			"	case <-p.conns.Idle():\n		return nil\n	case", "	default:\n		return nil\n	case",
		}}},
		{"a stream that has ended is not forgotten", "tunnel", []edit{{
			"	s.link.forget(s)\n	s.raw.Finish()",
			"	s.raw.Finish()",
		}}},
		{"a stream that has ended keeps its place in the session", "tunnel", []edit{{
			"	s.link.forget(s)\n	s.raw.Finish()",
			"	s.link.forget(s)",
		}}},
		{"a timer outlives its link", "tunnel", []edit{{
			"	close(l.gone)\n",
			"	close(l.gone)\n	time.AfterFunc(time.Hour, func() { l.pending = nil })\n",
		}}},
		{"a cut-off connection ends with a FIN", "internal/relay", []edit{{
			"		s.forget()\n		_ = s.conn.Close() // with a reset, see resetOnClose",
			"		s.forget()\n		_ = s.conn.SetLinger(-1)\n		_ = s.conn.Close()",
		}}},
		{"what came before a reset is not delivered", "internal/relay", []edit{{
			"		r.dying, r.dead = side, err\n",
			"		r.decide(broken(side, err))\n",
		}}},
		{"a clean end is not passed on", "internal/relay", []edit{{
			"	return dst.CloseWrite()\n",
			"	return nil\n",
		}}},
		{"a large write repeats its first record", "tunnel", []edit{{
			"wire.AppendData(buf[:0], p[sent:], s.link.dataLimit)",
			"wire.AppendData(buf[:0], p, s.link.dataLimit)",
		}}},
	}
}

// httpMutations break the rules for HTTP requests.
func httpMutations() []mutation {
	const in = "failover/http"
	return []mutation{
		{"HTTP: what may have been executed is repeated whatever its method", in, []edit{{
			"if h.retries.Method(h.method) && h.tries",
			"if h.tries",
		}}},
		{"HTTP: a request without an answer is taken for not executed", in, []edit{{
			"	default:\n		return unknown\n",
			"	default:\n		return notExecuted\n",
		}}},
		{"HTTP: what is written to an endpoint is not counted", in, []edit{{
			"	n, err := w.Conn.Write(p)\n	w.written.Add(int64(n))\n	return n, err",
			"	return w.Conn.Write(p)",
		}}},
		{"HTTP: a further try sends only what the one before it has not", in, []edit{{
			"return &tryBody{body: b, ",
			"return &tryBody{body: b, pos: len(b.kept), ",
		}}},
		{"HTTP: a request without an answer is not repeated", in, []edit{{
			"case (o == unknown || o == timedOut) && h.retries.NoAnswer(), o",
			"case o",
		}}},
		{"HTTP: a request that was not executed is not repeated", in, []edit{{
			"case o == notExecuted && h.isSafe()",
			"case o == notExecuted && h.all < 0 && h.isSafe()",
		}}},
		{"HTTP: a retry that has ended stays on the budget", in, []edit{{
			"{ b.retries-- }",
			"{}",
		}}},
		{"HTTP: an answer that breaks off ends clean", in, []edit{{
			"	if err != nil {\n		e.cutOff(t, err)\n	}\n",
			"	_ = err\n",
		}}},
		{"HTTP: an endpoint that is unavailable has the last word", in, []edit{{
			"if r.Status(resp.StatusCode) {",
			"if false && r.Status(resp.StatusCode) {",
		}}},
		{"HTTP: the number of a try is not sent", in, []edit{{
			"	if r.all > 1 {\n",
			"	if false {\n",
		}}},
	}
}

const lateAccept = "	in.stream.late, in.stream.lateAnswer = in, a\n	return in.stream, nil"

// lateReset refuses what was not accepted yet.
const lateReset = `func (s *Stream) acceptLate() {
	if in := s.late; in != nil {
		s.late = nil
		_ = in.write(s.lateAnswer)
	}
}

func (s *Stream) Reset(reason string) {
	if in := s.late; in != nil {
		s.late = nil
		in.state.Store(0)
		_ = in.Refuse(tunnelpb.Answer_CODE_UNAVAILABLE, reason, 0)
		return
	}
`

// apply makes an overlay for `go build`, in which the files below root are mutated; dir takes what it needs.
func (m *mutation) apply(root, dir string) (overlay string, err error) {
	mutated := make(map[string]string)
	for _, e := range m.edits {
		path, err := m.find(root, e.old)
		if err != nil {
			return "", err
		}
		if mutated[path] == "" {
			text, err := os.ReadFile(path)
			if err != nil {
				return "", err
			}
			mutated[path] = string(text)
		}
		mutated[path] = strings.Replace(mutated[path], e.old, e.new, 1)
	}
	replace := make(map[string]string)
	for path, text := range mutated {
		replace[path] = filepath.Join(dir, strconv.Itoa(len(replace))+".go")
		if err := os.WriteFile(replace[path], []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, b, 0o600)
}

// find is the one file that has the text.
func (m *mutation) find(root, old string) (string, error) {
	var found []string
	err := filepath.WalkDir(filepath.Join(root, m.in), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path) //nolint:gosec // our own files
		for range strings.Count(string(text), old) {
			found = append(found, path)
		}
		return err
	})
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("mutation %q: below %s this is there %d times, not once: follow the change in internal/sim/hunt/mutations.go: %q %v",
			m.name, m.in, len(found), old, found)
	}
	if err != nil {
		return "", err
	}
	return filepath.Abs(found[0])
}
