package openloop_test

import (
	"context"
	"fmt"

	"github.com/eastway/eastway/internal/openloop"
)

func ExampleRun() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	const perSecond = 1000
	openloop.Run(ctx, openloop.Load{Rate: perSecond}, func(_ context.Context, n int) {
		if n == 2 {
			cancel()
		}
		if n == 1 {
			fmt.Println(openloop.Method(n), n)
		}
	})
	// Output: POST 1
}
