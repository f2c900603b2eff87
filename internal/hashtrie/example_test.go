package hashtrie_test

import (
	"fmt"

	"github.com/eastway/eastway/internal/hashtrie"
)

func Example() {
	before := hashtrie.Of(map[string]int{"shop": 1, "web": 2})
	after := before.With("shop", 3).Without("web").With("api", 4)
	for name := range hashtrie.Differing(before, after) {
		fmt.Println(name, before.Get(name), "→", after.Get(name))
	}
	fmt.Println(before.Len(), "and", after.Len())
	// Unordered output:
	// shop 1 → 3
	// web 2 → 0
	// api 0 → 4
	// 2 and 2
}
