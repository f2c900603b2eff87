package tally_test

import (
	"fmt"
	"time"

	"github.com/eastway/eastway/internal/tally"
)

func Example() {
	var refused tally.Tally
	now := time.Unix(0, 0)
	for range 3 { // a log line for the first one, and a minute later one for all others
		if due := refused.Note(now, 1); due > 0 {
			fmt.Println("refused:", due)
		}
		now = now.Add(40 * time.Second)
	}
	if !refused.Over(now) {
		fmt.Println("status: refused", refused.Recent, "times")
	}
	// Output:
	// refused: 1
	// refused: 2
	// status: refused 3 times
}
