package source_test

import (
	"fmt"
	"net"
	"testing"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/internal/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func Example() {
	fmt.Println(source.Of(&net.TCPAddr{IP: net.ParseIP("2001:db8::1:2:3:4"), Port: 1234}))
	// Output: 2001:db8::/64
}
