package access

import "fmt"

// What another side chose is bounded before it is logged.
func ExampleClip() {
	fmt.Println(Clip("GET"))
	// Output: GET
}
