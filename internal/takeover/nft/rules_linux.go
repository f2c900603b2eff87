package nft

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Priorities of our nat chains: before kube-proxy's −100 and 100.
const (
	priorityDNAT = nftables.ChainPriority(-105)
	prioritySNAT = nftables.ChainPriority(95)
)

// Registers. The kernel has twenty of 32 bits; 1 and 2 name the first and second four of them.
const (
	regVerdict = unix.NFT_REG_VERDICT
	regFirst   = unix.NFT_REG_1
	regSecond  = unix.NFT_REG_2
	// firstWord and secondWord are the same places as regFirst and regSecond, counted in 32 bits.
	firstWord  = unix.NFT_REG32_00
	secondWord = unix.NFT_REG32_04
)

// IDs of named sets inside a transaction; those of anonymous ones follow.
const (
	idServices = iota + 1
	idPorts
	idHairpin
	idAnonymous
)

// statusDNAT is ct status's bit for a connection whose destination was translated (IPS_DST_NAT).
const statusDNAT = 1 << 5

// family is how addresses lie in packets and sets.
type family struct {
	nf       nftables.TableFamily
	addr     nftables.SetDatatype
	src, dst uint32 // offset in the network header
}

func (f family) words() uint32 { return f.addr.Bytes / 4 }

// families in the order of compile's results.
var families = [2]family{ //nolint:gochecknoglobals // a constant table
	{nf: nftables.TableFamilyIPv4, addr: nftables.TypeIPAddr, src: 12, dst: 16},
	{nf: nftables.TableFamilyIPv6, addr: nftables.TypeIP6Addr, src: 8, dst: 24},
}

// writer adds one family's messages to a transaction.
type writer struct {
	conn      *nftables.Conn
	family    family
	timeout   time.Duration
	content   *content
	table     *nftables.Table
	anonymous uint32 // sets so far

	services, ports, hairpin *nftables.Set
}

// write declares the table's content. before is how many groups it has now; nil: that is not known, so it is recreated.
func (w *writer) write(before *int) error {
	w.conn.AddTable(w.table) // so that deleting cannot fail
	if before == nil || w.content.empty() {
		w.conn.DelTable(w.table)
		before = new(int)
	}
	if w.content.empty() {
		return nil
	}
	w.conn.AddTable(w.table)
	if err := w.sets(); err != nil {
		return err
	}
	output := w.base("output", nftables.ChainHookOutput, priorityDNAT)
	prerouting := w.base("prerouting", nftables.ChainHookPrerouting, priorityDNAT)
	postrouting := w.base("postrouting", nftables.ChainHookPostrouting, prioritySNAT)
	groups := make([]*nftables.Chain, max(*before, len(w.content.groups)))
	for i := range groups {
		groups[i] = w.chain(&nftables.Chain{Name: groupName(i), Table: w.table})
	}
	for _, unused := range groups[len(w.content.groups):] {
		w.conn.DelChain(unused)
	}
	w.check(output)
	w.rule(output, slices.Concat(w.key(firstWord), []expr.Any{w.lookup(w.services, regFirst, regVerdict)})...)
	w.rule(prerouting, slices.Concat(w.key(firstWord), []expr.Any{w.lookup(w.services, regFirst, regVerdict)})...)
	w.masquerade(postrouting)
	for i := range w.content.groups {
		if err := w.group(groups[i], &w.content.groups[i]); err != nil {
			return err
		}
	}
	return w.elements()
}

func groupName(i int) string { return "group-" + strconv.Itoa(i) }

// sets declares the named sets, empty.
func (w *writer) sets() error {
	key := nftables.MustConcatSetType(w.family.addr, nftables.TypeInetProto, nftables.TypeInetService)
	w.services = &nftables.Set{Name: "services", ID: idServices, IsMap: true, KeyType: key, DataType: nftables.TypeVerdict}
	w.ports = &nftables.Set{Name: "ports", ID: idPorts, IsMap: true, KeyType: key, DataType: nftables.TypeInetService}
	w.hairpin = &nftables.Set{Name: "hairpin", ID: idHairpin, KeyType: nftables.MustConcatSetType(w.family.addr, w.family.addr)}
	for _, s := range []*nftables.Set{w.services, w.ports, w.hairpin} {
		s.Table, s.Concatenation, s.HasTimeout, s.Timeout = w.table, true, true, w.timeout
		if err := w.conn.AddSet(s, nil); err != nil {
			return fmt.Errorf("declare %s: %w", s.Name, err)
		}
		w.conn.FlushSet(s)
	}
	return nil
}

// base declares a chain that the kernel calls.
func (w *writer) base(name string, hook *nftables.ChainHook, priority nftables.ChainPriority) *nftables.Chain {
	accept := nftables.ChainPolicyAccept
	return w.chain(&nftables.Chain{
		Name: name, Table: w.table, Type: nftables.ChainTypeNAT, Hooknum: hook, Priority: &priority, Policy: &accept,
	})
}

// chain declares a chain without rules.
func (w *writer) chain(c *nftables.Chain) *nftables.Chain {
	w.conn.AddChain(c)
	w.conn.FlushChain(c)
	return c
}

func (w *writer) rule(c *nftables.Chain, exprs ...expr.Any) {
	w.conn.AddRule(&nftables.Rule{Table: w.table, Chain: c, Exprs: exprs})
}

// key loads `ip daddr . meta l4proto . th dport`, the key of services and ports, for TCP only.
func (w *writer) key(register uint32) []expr.Any {
	return slices.Concat(w.tcp(), []expr.Any{
		w.address(w.family.dst, register),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register + w.family.words()},
		destinationPort(register + w.family.words() + 1),
	})
}

func (*writer) tcp() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: regFirst},
		&expr.Cmp{Op: expr.CmpOpEq, Register: regFirst, Data: []byte{unix.IPPROTO_TCP}},
	}
}

func (w *writer) address(offset, register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: w.family.addr.Bytes}
}

func destinationPort(register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}
}

func (*writer) lookup(s *nftables.Set, from, to uint32) expr.Any {
	return &expr.Lookup{SourceRegister: from, DestRegister: to, IsDestRegSet: true, SetName: s.Name, SetID: s.ID}
}

// dnat translates to the address in the first register and the port in the second.
func (w *writer) dnat() expr.Any {
	return &expr.NAT{
		Type: expr.NATTypeDestNAT, Family: uint32(w.family.nf), RegAddrMin: regFirst, RegProtoMin: regSecond, Specified: true,
	}
}

// check sends marked packets of the packet check to its listener.
func (w *writer) check(output *nftables.Chain) {
	c := w.content.check
	if c == nil {
		return
	}
	w.rule(output, slices.Concat(w.tcp(), []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: regFirst},
		&expr.Cmp{Op: expr.CmpOpEq, Register: regFirst, Data: binaryutil.NativeEndian.PutUint32(c.Mark)},
		w.address(w.family.dst, regFirst),
		&expr.Cmp{Op: expr.CmpOpEq, Register: regFirst, Data: c.Address.Addr().AsSlice()},
		destinationPort(regFirst),
		&expr.Cmp{Op: expr.CmpOpEq, Register: regFirst, Data: binaryutil.BigEndian.PutUint16(c.Address.Port())},
		&expr.Immediate{Register: regFirst, Data: c.Listener.Addr().AsSlice()},
		&expr.Immediate{Register: regSecond, Data: binaryutil.BigEndian.PutUint16(c.Listener.Port())},
		w.dnat(),
	})...)
}

// masquerade hides a proxy that was sent to itself behind the node's address: its answers would not pass here otherwise.
func (w *writer) masquerade(postrouting *nftables.Chain) {
	w.rule(postrouting,
		&expr.Ct{Key: expr.CtKeySTATUS, Register: regFirst},
		&expr.Bitwise{
			SourceRegister: regFirst, DestRegister: regFirst, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(statusDNAT), Xor: make([]byte, 4),
		},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: regFirst, Data: make([]byte, 4)},
		w.address(w.family.src, firstWord),
		w.address(w.family.dst, firstWord+w.family.words()),
		&expr.Lookup{SourceRegister: regFirst, SetName: w.hairpin.Name, SetID: w.hairpin.ID},
		&expr.Masq{},
	)
}

// group translates to one of the group's proxies.
func (w *writer) group(c *nftables.Chain, g *group) error {
	choice, err := w.choice(g)
	if err != nil {
		return err
	}
	key := w.key(secondWord)
	// The protocol is compared before the address is chosen: it passes through the same register.
	tcp, key := key[:2], key[2:]
	w.rule(c, slices.Concat(tcp, choice, key, []expr.Any{w.lookup(w.ports, regSecond, regSecond), w.dnat()})...)
	return nil
}

// choice loads the address of one of the group's proxies into the first register.
func (w *writer) choice(g *group) ([]expr.Any, error) {
	if len(g.proxies) == 1 {
		return []expr.Any{&expr.Immediate{Register: regFirst, Data: g.proxies[0].AsSlice()}}, nil
	}
	if g.affinity {
		proxies, err := w.numbered(slots(g.proxies))
		if err != nil {
			return nil, err
		}
		return []expr.Any{
			w.address(w.family.src, regSecond),
			&expr.Hash{
				SourceRegister: regSecond, DestRegister: regFirst, Length: w.family.addr.Bytes,
				Modulus: affinitySlots, Type: expr.HashTypeJenkins,
			},
			w.lookup(proxies, regFirst, regFirst),
		}, nil
	}
	proxies, err := w.numbered(g.proxies)
	if err != nil {
		return nil, err
	}
	return []expr.Any{
		&expr.Numgen{Register: regFirst, Modulus: uint32(len(g.proxies)), Type: unix.NFT_NG_RANDOM}, // at most MaxProxies
		w.lookup(proxies, regFirst, regFirst),
	}, nil
}

// numbered is an anonymous map from 0, 1, … to the proxies.
func (w *writer) numbered(proxies []netip.Addr) (*nftables.Set, error) {
	s := &nftables.Set{
		Table: w.table, ID: idAnonymous + w.anonymous, Name: "__map%d", Anonymous: true, Constant: true, IsMap: true,
		KeyType: nftables.TypeMark, DataType: w.family.addr, // a number as the machine writes it, for nft to print
	}
	w.anonymous++
	elements := make([]nftables.SetElement, len(proxies))
	for i, p := range proxies {
		elements[i] = nftables.SetElement{Key: binaryutil.NativeEndian.PutUint32(uint32(i)), Val: p.AsSlice()}
	}
	if err := w.conn.AddSet(s, elements); err != nil {
		return nil, fmt.Errorf("declare the proxies of a group: %w", err)
	}
	return s, nil
}

// elements fills the named sets.
func (w *writer) elements() error {
	services := make([]nftables.SetElement, len(w.content.services))
	ports := make([]nftables.SetElement, len(w.content.services))
	for i := range w.content.services {
		s := &w.content.services[i]
		key := elementKey(s.Address)
		services[i] = nftables.SetElement{Key: key, VerdictData: &expr.Verdict{
			Kind: expr.VerdictGoto, Chain: groupName(w.content.group[i]),
		}}
		ports[i] = nftables.SetElement{Key: key, Val: binaryutil.BigEndian.PutUint16(s.Port)}
	}
	hairpin := make([]nftables.SetElement, len(w.content.hairpin))
	for i, p := range w.content.hairpin {
		hairpin[i] = nftables.SetElement{Key: slices.Concat(p.AsSlice(), p.AsSlice())}
	}
	for _, fill := range []struct {
		set      *nftables.Set
		elements []nftables.SetElement
	}{{w.services, services}, {w.ports, ports}, {w.hairpin, hairpin}} {
		for chunk := range slices.Chunk(fill.elements, elementsPerMessage) {
			if err := w.conn.SetAddElements(fill.set, chunk); err != nil {
				return fmt.Errorf("fill %s: %w", fill.set.Name, err)
			}
		}
	}
	return nil
}

// elementKey is `address . tcp . port`; each part is padded to 4 bytes.
func elementKey(a netip.AddrPort) []byte {
	key := append(a.Addr().AsSlice(), unix.IPPROTO_TCP, 0, 0, 0)
	key = binary.BigEndian.AppendUint16(key, a.Port())
	return append(key, 0, 0)
}
