package proxyproto_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net/netip"

	pires "github.com/pires/go-proxyproto"

	"github.com/eastway/eastway/failover/proxyproto"
)

func ExampleHeader() {
	b := proxyproto.Header(proxyproto.Caller{Address: "10.1.2.3:4711", Cluster: "west", Remote: true}, netip.MustParseAddrPort("10.9.0.7:5432"))
	h, err := pires.Read(bufio.NewReader(bytes.NewReader(b)))
	if err != nil {
		fmt.Println(err)
		return
	}
	tlvs, err := h.TLVs()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%v called, of cluster %s\n", h.SourceAddr, tlvs[0].Value)
	// Output: 10.1.2.3:4711 called, of cluster west
}
