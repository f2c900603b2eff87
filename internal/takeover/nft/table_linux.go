package nft

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
)

const (
	// netlinkTimeout bounds one transaction: the kernel answers at once, or one of its answers was lost.
	netlinkTimeout = 5 * time.Second
	// netlinkBuffer (bytes) holds a whole transaction, which is one message: MaxServices take about 5 MiB.
	netlinkBuffer = 16 << 20
	// elementsPerMessage keeps a list of elements (about 110 bytes each) below netlink's limit of 64 KiB per attribute.
	elementsPerMessage = 256
)

// Table writes the tables of one network namespace. It is for one goroutine.
type Table struct {
	cfg     Config
	written [2]*int // per family: how many groups our last transaction left; nil: not known
}

// Config is where the tables are, and how long entries live.
type Config struct {
	// Timeout is how long entries live without being written again.
	Timeout time.Duration
	// NetNS is an open network namespace, for tests; nil is the process's own.
	NetNS *os.File
}

// New makes a Table; nothing is written.
func New(cfg Config) (*Table, error) {
	if cfg.Timeout < time.Second {
		return nil, fmt.Errorf("nft: Timeout %s is shorter than a second: entries would time out between two writes", cfg.Timeout)
	}
	return &Table{cfg: cfg}, nil
}

// Apply makes r the content of the tables, for Timeout from now, in one transaction. An empty table is removed.
func (t *Table) Apply(r *Ruleset) error {
	if err := r.Validate(); err != nil {
		return err
	}
	v4, v6 := compile(r)
	err := t.apply(&v4, &v6)
	if err != nil && (t.written[0] != nil || t.written[1] != nil) {
		// Our tables were changed from outside so that they cannot be amended: recreate them.
		t.written = [2]*int{}
		err = t.apply(&v4, &v6)
	}
	if err != nil {
		return fmt.Errorf("nft: write tables %q: %w", TableName, err)
	}
	return nil
}

func (t *Table) apply(contents ...*content) error {
	conn, err := t.connect()
	if err != nil {
		return err
	}
	var after [2]*int
	for i, c := range contents {
		w := &writer{conn: conn, family: families[i], timeout: t.cfg.Timeout, content: c}
		w.table = &nftables.Table{Name: TableName, Family: w.family.nf}
		if err := w.write(t.written[i]); err != nil {
			return err
		}
		groups := len(c.groups)
		after[i] = &groups
		if c.empty() {
			after[i] = nil // nothing is there to be amended
		}
	}
	if err := conn.Flush(); err != nil {
		t.written = [2]*int{}
		return err
	}
	t.written = after
	return nil
}

// Delete removes our tables, whichever process wrote them.
func (t *Table) Delete() error {
	t.written = [2]*int{}
	if err := t.apply(&content{}, &content{}); err != nil {
		return fmt.Errorf("nft: remove tables %q: %w", TableName, err)
	}
	return nil
}

// connect opens a connection for one transaction.
func (t *Table) connect() (*nftables.Conn, error) {
	opts := []nftables.ConnOption{nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(
			c.SetWriteBuffer(netlinkBuffer),
			c.SetReadBuffer(netlinkBuffer),
			c.SetDeadline(time.Now().Add(netlinkTimeout)),
		)
	})}
	if t.cfg.NetNS != nil {
		opts = append(opts, nftables.WithNetNSFd(int(t.cfg.NetNS.Fd())))
	}
	return nftables.New(opts...)
}
