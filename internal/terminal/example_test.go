package terminal_test

import (
	"fmt"
	"os"
	"time"

	"github.com/eastway/eastway/internal/terminal"
)

func ExampleTable() {
	err := terminal.Table(os.Stdout, []string{"PEER", "RTT"}, [][]string{
		{"west", terminal.RTT(20 * time.Millisecond)}, {"\x1b[31mnorth", terminal.RTT(0)},
	})
	fmt.Println(err)
	// Output:
	// PEER        RTT
	// west        20.0ms
	// ?[31mnorth  -
	// <nil>
}
