package hostile

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var attackFor = flag.Duration("hostile.for", 300*time.Millisecond, "how long each attack lasts")

func TestMain(m *testing.M) {
	if what := os.Getenv(programVariable); what != "" {
		if err := runProgram(what); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}
