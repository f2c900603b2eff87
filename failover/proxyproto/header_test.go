package proxyproto

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"net/netip"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"
)

// parsed is a header as a receiver reads it; its checksum is right.
func parsed(t *testing.T, b []byte) (h *proxyproto.Header, cluster string) {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(append(bytes.Clone(b), "rest"...)))
	h, err := proxyproto.Read(r)
	if err != nil {
		t.Fatalf("%x: %v", b, err)
	}
	if rest, _ := r.Peek(5); string(rest) != "rest" {
		t.Fatalf("%x: %q is left", b, rest)
	}
	tlvs, err := h.TLVs()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range tlvs {
		switch v.Type {
		case TypeCluster:
			cluster = string(v.Value)
		case proxyproto.PP2_TYPE_CRC32C:
			zeroed := append(bytes.Clone(b[:len(b)-crcBytes]), 0, 0, 0, 0)
			if want := crc32.Checksum(zeroed, crc32.MakeTable(crc32.Castagnoli)); binary.BigEndian.Uint32(v.Value) != want {
				t.Errorf("checksum %x, want %x", v.Value, want)
			}
		default:
			t.Errorf("TLV of type %x", v.Type)
		}
	}
	return h, cluster
}

func TestHeader(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, caller, endpoint string
		remote                 bool
		source, destination    string // empty: LOCAL
	}{
		{name: "IPv4", caller: "10.1.2.3:4711", endpoint: "10.0.0.1:80", source: "10.1.2.3:4711", destination: "10.0.0.1:80"},
		{name: "a peer's", caller: "10.1.2.3:4711", endpoint: "10.0.0.1:80", remote: true, source: "10.1.2.3:4711", destination: "10.0.0.1:80"},
		{name: "mapped", caller: "[::ffff:10.1.2.3]:4711", endpoint: "10.0.0.1:80", source: "10.1.2.3:4711", destination: "10.0.0.1:80"},
		{name: "IPv6", caller: "[fd00::1]:4711", endpoint: "[fd00::2]:80", source: "[fd00::1]:4711", destination: "[fd00::2]:80"},
		{name: "zone", caller: "[fd00::1%eth0]:4711", endpoint: "[fd00::2]:80", source: "[fd00::1]:4711", destination: "[fd00::2]:80"},
		{name: "both families", caller: "[fd00::1]:1", endpoint: "10.0.0.1:80", source: "[fd00::1]:1", destination: "10.0.0.1:80"},
		{name: "the other way", caller: "10.1.2.3:1", endpoint: "[fd00::2]:80", source: "10.1.2.3:1", destination: "[fd00::2]:80"},
		{name: "loopback on one host", caller: "127.0.0.1:1", endpoint: "127.0.0.2:80", source: "127.0.0.1:1", destination: "127.0.0.2:80"},
		{name: "loopback for another host", caller: "127.0.0.1:1", endpoint: "10.0.0.1:80"},
		{name: "loopback of another host", caller: "127.0.0.1:1", endpoint: "127.0.0.2:80", remote: true},
		{name: "mapped loopback", caller: "[::ffff:127.0.0.1]:1", endpoint: "127.0.0.2:80", remote: true},
		{name: "IPv6 loopback", caller: "[::1]:1", endpoint: "[fd00::2]:80", remote: true},
		{name: "unspecified", caller: "0.0.0.0:1", endpoint: "10.0.0.1:80"},
		{name: "IPv6 unspecified", caller: "[::]:1", endpoint: "[fd00::2]:80", remote: true},
		{name: "unspecified with a zone", caller: "[::%eth0]:1", endpoint: "[fd00::2]:80", remote: true},
		{name: "mapped unspecified", caller: "[::ffff:0.0.0.0]:1", endpoint: "[fd00::2]:80", remote: true},
		{name: "multicast", caller: "224.0.0.1:1", endpoint: "10.0.0.1:80", remote: true},
		{name: "broadcast", caller: "255.255.255.255:1", endpoint: "10.0.0.1:80", remote: true},
		{name: "link-local", caller: "[fe80::1%eth0]:1", endpoint: "[fd00::2]:80", remote: true},
		{name: "metadata", caller: "169.254.169.254:1", endpoint: "10.0.0.1:80", remote: true},
		{name: "none", endpoint: "10.0.0.1:80"},
		{name: "a probe", caller: "probe", endpoint: "10.0.0.1:80", remote: true},
		{name: "a name", caller: "localhost:80", endpoint: "10.0.0.1:80", remote: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h, cluster := parsed(t, Header(Caller{Address: tt.caller, Cluster: "west", Remote: tt.remote}, netip.MustParseAddrPort(tt.endpoint)))
			if cluster != "west" {
				t.Errorf("cluster %q", cluster)
			}
			if tt.source == "" {
				if !h.Command.IsLocal() || h.SourceAddr != nil {
					t.Errorf("%+v", h)
				}
				return
			}
			if h.Command.IsLocal() || h.SourceAddr.String() != tt.source || h.DestinationAddr.String() != tt.destination {
				t.Errorf("%v: %v to %v", h.Command, h.SourceAddr, h.DestinationAddr)
			}
		})
	}
}

// The bytes are those of the specification.
func TestHeaderBytes(t *testing.T) {
	t.Parallel()
	const signature = "0d0a0d0a000d0a515549540a"
	got := hex.EncodeToString(Header(Caller{Address: "10.1.2.3:258", Cluster: "w"}, netip.MustParseAddrPort("10.0.0.1:80")))
	want := signature + "21" + "11" + "0017" + "0a010203" + "0a000001" + "0102" + "0050" + "e00001" + "77" + "030004"
	if !strings.HasPrefix(got, want) || len(got) != len(want)+2*crcBytes {
		t.Errorf("got  %s\nwant %s and a checksum", got, want)
	}
	if got := hex.EncodeToString(Local()); !strings.HasPrefix(got, signature+"20"+"00"+"0007"+"030004") {
		t.Errorf("local: %s", got)
	}
}

// What a peer says of its caller is only text.
func FuzzHeader(f *testing.F) {
	for _, caller := range []string{"10.1.2.3:1", "[fd00::1%eth0]:65535", "[::%eth0]:1", "[::ffff:127.0.0.1]:1", "probe", "", "10.1.2.3:99999"} {
		f.Add(caller, "west", true)
	}
	endpoint := netip.MustParseAddrPort("127.0.0.2:80")
	f.Fuzz(func(t *testing.T, caller, cluster string, remote bool) {
		b := Header(Caller{Address: caller, Cluster: cluster, Remote: remote}, endpoint)
		if len(b) > 256 {
			t.Fatalf("%d bytes", len(b))
		}
		h, got := parsed(t, b)
		if got != cluster && (got != "" || len(cluster) <= longestCluster) {
			t.Errorf("cluster %q", got)
		}
		if ips, _, ok := h.IPs(); ok && remote && (ips.IsLoopback() || ips.IsUnspecified() || ips.IsMulticast() || ips.IsLinkLocalUnicast()) {
			t.Errorf("a peer's caller is %v", ips)
		}
	})
}
