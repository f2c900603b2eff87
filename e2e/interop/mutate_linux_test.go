package interop

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/eastway/eastway/failover/http/h1/h1test"
)

// Of TestSmuggling; after -args.
var (
	mutations = flag.Int("mutations", 400, "how many mutated cases it has")
	seed      = flag.Uint64("seed", 1, "of their mutations")
)

// mutated are cases that are made of h1test's, by seed: what they are for Eastway is not known before.
func mutated(seed uint64, n int) []h1test.Case {
	m := mutator{Rand: rand.New(rand.NewPCG(seed, 0))}
	for _, c := range h1test.Cases() {
		if len(c.Input) < 4<<10 && !isCarriedAsTCP(c.Input) && !strings.HasPrefix(c.Input, preface) {
			m.inputs = append(m.inputs, c.Input)
		}
	}
	var cases []h1test.Case
	for range n {
		input := m.one(m.inputs)
		for range 1 + m.IntN(3) {
			input = m.mutate(input)
		}
		cases = append(cases, h1test.Case{Class: "mutated", Name: fmt.Sprintf("%q", input), Input: input})
	}
	return cases
}

// mutator changes inputs by chance.
type mutator struct {
	*rand.Rand
	inputs []string
}

func (m *mutator) one(of []string) string { return of[m.IntN(len(of))] }

// fragments are what requests are framed by.
func fragments() []string {
	return []string{
		"\r\n", "\n", "\r", " ", "\t", ":", ";", ",", "\x00", "\v", "x", "00", "chunked", "identity", "HTTP/1.0", ";a=\"b\"",
		"Transfer-Encoding: chunked\r\n", "Transfer-Encoding:\r\n chunked\r\n", "Content-Length: 0\r\n", "Content-Length: 3\r\n",
		"Content-Length: 43\r\n", "0\r\n\r\n", "3\r\nabc\r\n", "Connection: keep-alive\r\n", "Connection: close\r\n", "Host: b.example\r\n",
		"X-A: b\r\n", "Trailer: X-A\r\n", "Expect: 100-continue\r\n", "Upgrade: h2c\r\n", "Upgrade: websocket\r\nConnection: upgrade\r\n",
		"GET " + h1test.Smuggled + " HTTP/1.1\r\nHost: a.example\r\n\r\n",
	}
}

// mutate one place of an input.
func (m *mutator) mutate(input string) string {
	lines := strings.SplitAfter(input, "\n")
	at := m.IntN(len(lines))
	switch m.IntN(5) {
	case 0:
		i := m.IntN(len(input) + 1)
		return input[:i] + m.one(fragments()) + input[i:]
	case 1:
		i := m.IntN(len(input) + 1)
		return input[:i] + input[min(i+1+m.IntN(2), len(input)):]
	case 2:
		lines[at] = m.one(fragments()) + lines[at]
	case 3:
		lines[at] += m.one(strings.SplitAfter(m.one(m.inputs), "\n"))
	case 4:
		other := m.IntN(len(lines))
		lines[at], lines[other] = lines[other], lines[at]
	}
	return strings.Join(lines, "")
}
