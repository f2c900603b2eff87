package certview_test

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/internal/certview"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func Example() {
	_, err := certview.Read("/nowhere/ca", time.Now())
	fmt.Println(err, errors.Is(err, fs.ErrNotExist))
	// Output: there is no /nowhere/ca true
}
