package sim

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

// Client is an HTTP client. Its requests follow each other on one connection as long as that is kept.
type Client struct {
	ID      int
	At      time.Duration
	Cluster int
	Zone    int
	Service int
	// HTTP2: it speaks HTTP/2 with prior knowledge.
	HTTP2 bool
	Asks  []Ask
}

// Ask is one request of a client, and the answer that its endpoint gives. IDs are unique among all asks and calls.
type Ask struct {
	ID     int
	Method string
	// Pause is before the request.
	Pause    time.Duration
	Up, Down int
	// Slow is a pause in the middle of the request's body, Think one before the answer.
	Slow, Think time.Duration
	Framing     Framing
}

// Framing is what marks the end of a message's body in HTTP/1.1.
type Framing int

// Framings of answers.
const (
	// Length is a Content-Length.
	Length Framing = iota
	// Chunked is a last chunk.
	Chunked
	// UntilClose is the end of the connection.
	UntilClose
	framings
)

func (f Framing) String() string {
	return [...]string{"length", "chunked", "until-close"}[f]
}

func (c *Client) String() string {
	return fmt.Sprintf("client %d at %v: c%d/z%d → s%d http2=%t %v", c.ID, c.At, c.Cluster, c.Zone, c.Service, c.HTTP2, c.Asks)
}

func (a *Ask) String() string {
	return fmt.Sprintf("request %d: %s up=%d slow=%v think=%v down=%d %v after %v",
		a.ID, a.Method, a.Up, a.Slow, a.Think, a.Down, a.Framing, a.Pause)
}

// target is the request target, from which an endpoint knows what to do.
func (a *Ask) target() string {
	return fmt.Sprintf("/%d/%d/%d/%d/%d", a.ID, a.Up, a.Down, a.Think.Milliseconds(), a.Framing)
}

func parseAsk(r *http.Request) (*Ask, error) {
	a := &Ask{Method: r.Method}
	var think, framing int
	if _, err := fmt.Sscanf(r.URL.Path, "/%d/%d/%d/%d/%d", &a.ID, &a.Up, &a.Down, &think, &framing); err != nil || framing >= int(framings) {
		return nil, fmt.Errorf("not a request's path: %q", r.URL.Path)
	}
	a.Think, a.Framing = time.Duration(think)*time.Millisecond, Framing(framing)
	return a, nil
}

// idempotent is true for requests that may be executed twice: what the product takes for idempotent among the methods below.
func (a *Ask) idempotent() bool { return a.Method != http.MethodPost && a.Method != http.MethodPatch }

const (
	// firstAsk is the ID of the first HTTP request; calls have smaller ones.
	firstAsk = 10_000
	// burst is how many clients send at the same moment, to have more retries at a time than the budget always allows.
	burst = 12
)

// planWeb plans HTTP clients, and faults of endpoints that only they see. It has its own chances, so that what a seed decides for
// calls does not depend on it. One world in three has none.
func (p *Plan) planWeb() {
	r := rand.New(rand.NewPCG(p.Seed, 0x4774))
	if r.IntN(3) == 0 {
		return
	}
	p.planWebFaults(r)
	id := firstAsk
	plan := func(c Client, asks int) {
		c.ID = len(p.Clients) + 1
		for range asks {
			c.Asks = append(c.Asks, ask(r, id))
			id++
		}
		p.Clients = append(p.Clients, c)
	}
	for range 2 + r.IntN(6) {
		plan(Client{
			At: p.callAt(r), Cluster: r.IntN(len(p.Clusters)), Zone: r.IntN(zones), Service: r.IntN(p.Services), HTTP2: r.IntN(4) == 0,
		}, 1+r.IntN(10))
	}
	if r.IntN(4) == 0 {
		c := Client{At: p.callAt(r), Cluster: r.IntN(len(p.Clusters)), Zone: r.IntN(zones), Service: r.IntN(p.Services)}
		for range burst {
			plan(c, 1+r.IntN(2))
		}
	}
}

func ask(r *rand.Rand, id int) Ask {
	a := Ask{ID: id, Method: methodOf(r), Pause: between(r, 0, 40*time.Millisecond), Down: size(r), Framing: Framing(r.IntN(int(framings)))}
	switch r.IntN(4) {
	case 0:
		a.Pause = between(r, 0, 4*time.Second)
	case 1:
		a.Think = between(r, 0, 800*time.Millisecond)
	}
	if a.Method != http.MethodGet && r.IntN(6) > 0 {
		a.Up = size(r)
		if r.IntN(5) == 0 {
			a.Slow = between(r, 0, 500*time.Millisecond)
		}
	}
	return a
}

func methodOf(r *rand.Rand) string {
	return []string{http.MethodGet, http.MethodGet, http.MethodPost, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch}[r.IntN(7)]
}
