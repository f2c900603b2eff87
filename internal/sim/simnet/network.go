package simnet

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// Path is one way between two hosts, from the one to the other.
type Path struct {
	// Latency is what every segment takes, Jitter at most how much longer one may take. Order is kept, as in TCP.
	Latency, Jitter time.Duration
	// Rate is the line's capacity in bytes per second, shared by all connections; 0 has no bound.
	Rate int64
	// Loss is the probability that a segment is lost once and arrives with its retransmission.
	Loss float64
}

const (
	// minRTO is Linux' least retransmission timeout (TCP_RTO_MIN).
	minRTO = 200 * time.Millisecond
	// maxRTO bounds how long after a silence the first retransmission comes. Linux goes up to 120 s; silences here are shorter.
	maxRTO = 2 * time.Second
	// userTimeout ends a connection whose bytes are not acknowledged for so long (TCP_USER_TIMEOUT as Eastway sets it).
	userTimeout = 20 * time.Second
	// keepAliveTimeout ends an idle connection whose other host does not answer: 30 s and three probes of 10 s.
	keepAliveTimeout = time.Minute
	// bufferSize bounds what one direction of a connection holds, in bytes: send buffer, flight and receive buffer together.
	bufferSize = 512 << 10
	// segmentSize is the most that one delivery carries, in bytes.
	segmentSize = 16 << 10
	// backlog is how many connections a listener holds that were not accepted yet.
	backlog = 128
)

// Network joins hosts. The zero value is not usable; see New.
type Network struct {
	mu    sync.Mutex // guards everything in this package
	rng   *rand.Rand
	hosts map[netip.Addr]*Host
	paths map[route]*path
	usual Path
	conns map[*Conn]struct{} // ends that still hold something
	born  uint64             // of the newest
}

type route struct{ from, to netip.Addr }

type path struct {
	Path
	silent bool
	free   time.Time // when the line has sent all that it was given
}

// New makes a network whose chances come from seed and whose paths are usual unless SetPath says otherwise.
func New(seed uint64, usual Path) *Network {
	return &Network{
		rng: rand.New(rand.NewPCG(seed, 0x51a1)), hosts: make(map[netip.Addr]*Host),
		paths: make(map[route]*path), usual: usual, conns: make(map[*Conn]struct{}),
	}
}

// Host adds a host. Its address must be new.
func (n *Network) Host(addr netip.Addr) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hosts[addr] != nil {
		panic(fmt.Sprintf("simnet: host %v is there already", addr))
	}
	h := &Host{net: n, addr: addr, nextPort: firstPort, listeners: make(map[uint16]*Listener)}
	n.hosts[addr] = h
	return h
}

// SetPath replaces the path from one host to another, for what is sent from now on.
func (n *Network) SetPath(from, to netip.Addr, p Path) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.path(from, to).Path = p
}

// Silence stops everything from one host to the other, until Heal. What TCP would retransmit waits.
func (n *Network) Silence(from, to netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.path(from, to).silent = true
	n.watchIdle(from, to)
}

// Heal ends a silence.
func (n *Network) Heal(from, to netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.path(from, to).silent = false
	n.resume()
}

// HealAll ends all silences.
func (n *Network) HealAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.paths {
		p.silent = false
	}
	n.resume()
}

// Cut resets the connections between two hosts, in both directions and at once, in the middle of what is in flight: a part
// of it still arrives. It returns how many connections there were.
func (n *Network) Cut(a, b netip.Addr) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	ends := n.between(a, b)
	for _, c := range ends {
		c.out.cutNow()
	}
	for _, c := range ends {
		c.fail(errReset)
	}
	return len(ends) / 2
}

// CutAfter resets each connection between two hosts as soon as so many more bytes have gone from the one to the other. It
// returns how many connections there are.
func (n *Network) CutAfter(from, to netip.Addr, bytes int64) int {
	return n.cutAfter(from, to, bytes, false)
}

// EndAfter is CutAfter with a FIN: what has gone so far looks like all that was sent.
func (n *Network) EndAfter(from, to netip.Addr, bytes int64) int {
	return n.cutAfter(from, to, bytes, true)
}

func (n *Network) cutAfter(from, to netip.Addr, bytes int64, fin bool) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	count := 0
	for _, c := range n.between(from, to) {
		if c.local.Addr() == from {
			c.out.cutAt, c.out.cutFIN = c.out.sent+bytes, fin
			count++
		}
	}
	return count
}

// CutNever takes back what CutAfter has not done yet.
func (n *Network) CutNever(from, to netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.between(from, to) {
		c.out.cutAt = -1
	}
}

// Open is how many ends of connections still hold something: they are open, or bytes of theirs are under way.
func (n *Network) Open() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.conns)
}

// Listening is how many ports are open.
func (n *Network) Listening() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	total := 0
	for _, h := range n.hosts {
		total += len(h.listeners)
	}
	return total
}

// Buffered is how many bytes the network holds.
func (n *Network) Buffered() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	total := 0
	for c := range n.conns {
		total += c.out.used
	}
	return total
}

// between are the ends of all connections between two hosts, oldest first, so that chances fall alike in every run.
func (n *Network) between(a, b netip.Addr) []*Conn {
	return n.sorted(func(c *Conn) bool {
		l, r := c.local.Addr(), c.remote.Addr()
		return !c.closed && (l == a && r == b || l == b && r == a)
	})
}

func (n *Network) path(from, to netip.Addr) *path {
	r := route{from, to}
	p := n.paths[r]
	if p == nil {
		p = &path{Path: n.usual}
		n.paths[r] = p
	}
	return p
}

// reaches reports whether a segment that arrives now gets through.
func (n *Network) reaches(from, to netip.Addr) bool {
	h := n.hosts[to]
	return h != nil && !h.off && !n.path(from, to).silent
}

// arrival is when a segment of that size arrives that is sent now.
func (n *Network) arrival(from, to netip.Addr, size int) time.Time {
	p, at := n.path(from, to), time.Now()
	if p.Rate > 0 {
		if p.free.After(at) {
			at = p.free
		}
		at = at.Add(time.Duration(int64(size) * int64(time.Second) / p.Rate))
		p.free = at
	}
	at = at.Add(p.Latency)
	if p.Jitter > 0 {
		at = at.Add(time.Duration(n.rng.Int64N(int64(p.Jitter))))
	}
	if p.Loss > 0 && n.rng.Float64() < p.Loss {
		at = at.Add(max(minRTO, 2*p.Latency))
	}
	return at
}

// resume has everything go on that a silence held up.
func (n *Network) resume() {
	for _, c := range n.sorted(func(*Conn) bool { return true }) {
		c.out.resume()
	}
}
