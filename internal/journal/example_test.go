package journal_test

import (
	"context"
	"fmt"

	"github.com/eastway/eastway/internal/journal"
)

func Example() {
	var calls journal.Journal[string]
	go func() {
		calls.Add("shop")
		calls.Add("web")
		calls.Close()
	}()
	web := func(call *string) bool { return *call == "web" }
	one := func(calls []string) bool { return len(calls) == 1 }
	ctx := context.Background()
	if err := calls.Await(ctx, web, one); err != nil {
		fmt.Println(err)
	}
	fmt.Println(calls.All())
	// Output: [shop web]
}
