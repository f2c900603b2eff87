package operand_test

import (
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/internal/operand"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func Example() {
	fmt.Println(operand.ParseService("cart.shop.svc.cluster.local:80", ""))
	fmt.Println(operand.SplitHostPort("https://b.example.com:15443"))
	// Output:
	// {shop cart 80} <nil>
	//  0 leave out https:// and what follows the port
}

func TestParseService(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]operand.Service{
		"cart": {"n", "cart", 0}, "n/cart": {"n", "cart", 0}, "svc/cart": {"n", "cart", 0}, "service/cart": {"n", "cart", 0},
		"services/cart": {"n", "cart", 0}, "cart:80": {"n", "cart", 80}, "n/cart:80": {"n", "cart", 80}, "svc/cart:80": {"n", "cart", 80},
		"cart.n": {"n", "cart", 0}, "cart.n:80": {"n", "cart", 80}, "cart.n.svc": {"n", "cart", 0},
		"cart.n.svc.cluster.local": {"n", "cart", 0}, "cart.n.svc.clusterset.local:80": {"n", "cart", 80},
	} {
		if got, err := operand.ParseService(text, "n"); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
		if got, err := operand.ParseService(text, "other"); (err == nil) != (got.Namespace == "other") {
			t.Errorf("%s in another namespace: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "/", "/b", "a/", "a/b/c", "a/b.c", "svc/", "svc/a/b", "a:", "a:0", "a:65536", "a:b", "a:1:2", ".n", "a.", "a.n.x", "a..svc", "http://a",
	} {
		if got, err := operand.ParseService(text, ""); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestSplitHostPort(t *testing.T) {
	t.Parallel()
	const brackets = "an IPv6 address is written in brackets, such as [2001:db8::1]:15443"
	for text, want := range map[string]string{
		"192.0.2.1:15443": "192.0.2.1 15443", "[2001:db8::1]:1": "2001:db8::1 1", "b.example:65535": "b.example 65535", ":0": " 0",
		"2001:db8::1": brackets, "2001:db8::1:15443": brackets, "2001:db8:1:2:3:4:5:6:15443": brackets,
		"https://b:1/x": "leave out https:// and what follows the port", "b": "the port is missing", "[::1]": "the port is missing",
		"b:": "the port is missing", "b:x": `port "x" is not a number from 0 to 65535`, "b:65536": `port "65536" is not a number from 0 to 65535`,
		"[::1:5": "it is not well-formed",
	} {
		host, port, err := operand.SplitHostPort(text)
		got := fmt.Sprint(host, " ", port)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
