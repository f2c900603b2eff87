package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/eastway/eastway/internal/sim/simnet"
)

// Plan is everything that a seed decides: the world, its traffic and its faults. It is plain data, so that a shorter one can be
// made of it.
type Plan struct {
	Seed     uint64
	Clusters []ClusterPlan
	Services int
	// Memory has tunnels use the in-memory transport instead of TLS and the mux over simulated TCP.
	Memory bool
	WAN    simnet.Path
	LAN    simnet.Path
	// Dials[i][j]: cluster i knows addresses of cluster j.
	Dials   [][]bool
	Traffic time.Duration
	Calls   []Call
	// Clients are those of HTTP; without one no port is HTTP.
	Clients []Client `json:",omitempty"`
	Faults  []Fault
}

// ClusterPlan is one cluster.
type ClusterPlan struct {
	Region  string
	Proxies int
	// Apps is how many endpoints each service has; below 0: the cluster does not export it.
	Apps []int
}

// Kind is what a call does.
type Kind int

// Kinds of calls.
const (
	// Exchange is a request and an answer of known lengths.
	Exchange Kind = iota
	// UntilEnd is an answer whose end only the clean end of the connection marks.
	UntilEnd
	// Upload is a request whose end only the half-close marks.
	Upload
	// Session is several requests and answers on one connection.
	Session
	// CallerResets is a request that its caller gives up half-way.
	CallerResets
	// EndpointResets is an answer that its endpoint gives up half-way.
	EndpointResets
	// Stalled is an answer that nothing reads, reset by its endpoint while every window is full.
	Stalled
	kinds
)

func (k Kind) String() string {
	return [...]string{"exchange", "until-end", "upload", "session", "caller-resets", "endpoint-resets", "stalled"}[k]
}

// Call is one connection of an application.
type Call struct {
	ID      int
	At      time.Duration
	Cluster int
	Zone    int
	Service int
	Kind    Kind
	// Greeted: the endpoint speaks first.
	Greeted  bool
	Up, Down int
	Steps    int
	// Think is the pause between steps, and before an answer.
	Think time.Duration
}

func (c *Call) String() string {
	return fmt.Sprintf("call %d at %v: c%d/z%d → s%d %v greeted=%t up=%d down=%d steps=%d think=%v",
		c.ID, c.At, c.Cluster, c.Zone, c.Service, c.Kind, c.Greeted, c.Up, c.Down, c.Steps, c.Think)
}

const (
	// warmUp is the time before the first call: links stand and catalogs are known.
	warmUp     = 4 * time.Second
	zones      = 2
	leastCalls = 15
	mostCalls  = 60
)

// NewPlan makes the plan of a seed.
func NewPlan(seed uint64) *Plan {
	r := rand.New(rand.NewPCG(seed, 0xea57))
	p := &Plan{Seed: seed, Services: 1 + r.IntN(2), Memory: r.IntN(2) == 0, Traffic: between(r, 8*time.Second, 20*time.Second)}
	p.WAN = simnet.Path{Latency: between(r, 2*time.Millisecond, 80*time.Millisecond), Jitter: between(r, time.Microsecond, 10*time.Millisecond)}
	if r.IntN(3) == 0 {
		p.WAN.Loss = 0.03 * r.Float64()
	}
	p.LAN = simnet.Path{Latency: between(r, 100*time.Microsecond, time.Millisecond), Jitter: 200 * time.Microsecond}
	p.planClusters(r)
	p.planFaults(r)
	p.planCalls(r)
	p.planWeb()
	return p
}

func (p *Plan) planClusters(r *rand.Rand) {
	for i := range 2 + r.IntN(4)/3 {
		// Of three clusters two are near each other.
		c := ClusterPlan{Region: fmt.Sprintf("r%d", i%2), Proxies: 1 + r.IntN(2)}
		for range p.Services {
			c.Apps = append(c.Apps, r.IntN(5)-1)
		}
		p.Clusters = append(p.Clusters, c)
	}
	for s := range p.Services { // one cluster at least has endpoints
		c := &p.Clusters[r.IntN(len(p.Clusters))]
		c.Apps[s] = max(c.Apps[s], 1)
	}
	for i := range p.Clusters {
		p.Dials = append(p.Dials, make([]bool, len(p.Clusters)))
		for j := range i {
			way := r.IntN(3)
			p.Dials[i][j], p.Dials[j][i] = way != 1, way != 0
		}
	}
}

func (p *Plan) planCalls(r *rand.Rand) {
	for i := range leastCalls + r.IntN(mostCalls-leastCalls) {
		c := Call{
			ID: i + 1, At: p.callAt(r), Cluster: r.IntN(len(p.Clusters)), Zone: r.IntN(zones), Service: r.IntN(p.Services),
			Kind: kindOf(r), Greeted: r.IntN(5) == 0, Up: size(r), Down: size(r), Steps: 1,
		}
		switch c.Kind {
		case Session:
			c.Steps, c.Think = 2+r.IntN(8), between(r, 0, 3*time.Second)
		case Stalled:
			c.Down, c.Think = 24<<20, time.Second
		default:
			if r.IntN(2) == 0 {
				c.Think = between(r, 0, 500*time.Millisecond)
			}
		}
		p.Calls = append(p.Calls, c)
	}
}

// callAt is any time, but often just before or after something goes wrong.
func (p *Plan) callAt(r *rand.Rand) time.Duration {
	const before, after = 300 * time.Millisecond, 700 * time.Millisecond
	if len(p.Faults) == 0 || r.IntN(3) == 0 {
		return between(r, 0, p.Traffic)
	}
	f := &p.Faults[r.IntN(len(p.Faults))]
	at := f.At
	if r.IntN(4) == 0 {
		at += f.For
	}
	return max(at+between(r, -before, after), 0)
}

// kindOf makes what is expensive rare.
func kindOf(r *rand.Rand) Kind {
	switch n := r.IntN(100); {
	case n < 1:
		return Stalled
	case n < 45:
		return Exchange
	case n < 60:
		return UntilEnd
	case n < 75:
		return Upload
	case n < 85:
		return Session
	case n < 92:
		return CallerResets
	default:
		return EndpointResets
	}
}

// size is mostly small, sometimes several windows.
func size(r *rand.Rand) int {
	switch n := r.IntN(40); {
	case n == 0:
		return r.IntN(1 << 20)
	case n < 8:
		return r.IntN(100 << 10)
	default:
		return r.IntN(2 << 10)
	}
}

func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)))
}
