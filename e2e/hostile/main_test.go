package hostile

import (
	"flag"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var attackFor = flag.Duration("hostile.for", 300*time.Millisecond, "how long each attack lasts")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
