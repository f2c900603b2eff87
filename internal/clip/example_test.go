package clip_test

import (
	"fmt"
	"strings"

	"github.com/eastway/eastway/internal/clip"
)

func Example() {
	issuer := "CN=a stranger\x1b[31m" + strings.Repeat("!", 13<<10)
	fmt.Println(clip.Text(issuer, 25))
	// Output:
	// CN=a stranger [31m!!!!…
}
