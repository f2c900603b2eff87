package transport

import (
	"bytes"
	"testing"
)

func TestConnIDs(t *testing.T) {
	t.Parallel()
	var ids connIDs
	var datagrams [][]byte
	for range maxConnIDs + 1 {
		id, err := ids.GenerateConnectionID()
		if err != nil {
			t.Fatal(err)
		}
		datagrams = append(datagrams, append([]byte{0x40}, id.Bytes()...))
	}
	newest := datagrams[maxConnIDs]
	for name, c := range map[string]struct {
		datagram []byte
		want     bool
	}{
		"newest":      {newest, true},
		"older":       {datagrams[1], true},
		"oldest":      {datagrams[0], false},
		"nothing":     {nil, false},
		"cut off":     {newest[:connIDSize], false},
		"long header": {append([]byte{0xc0}, newest[1:]...), false},
		"not QUIC":    {append([]byte{0x00}, newest[1:]...), false},
		"flags":       {append([]byte{0x7f}, newest[1:]...), true},
	} {
		if got := ids.meant(c.datagram); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func FuzzConnIDs(f *testing.F) {
	f.Add([]byte("\x40abcd"))
	f.Add([]byte{0x40})
	f.Fuzz(func(t *testing.T, datagram []byte) {
		var ids connIDs
		id, err := ids.GenerateConnectionID()
		if err != nil {
			t.Fatal(err)
		}
		if ids.meant(datagram) && !bytes.Equal(datagram[1:1+connIDSize], id.Bytes()) {
			t.Errorf("%x has not the connection's ID %v", datagram, id)
		}
	})
}
