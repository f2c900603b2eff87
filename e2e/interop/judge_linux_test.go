package interop

import "testing"

// What the smuggling test takes for a fault, and what not.
func TestJudgment(t *testing.T) {
	t.Parallel()
	get := func(number int, target string) record {
		return record{number: number, method: "GET", target: target, body: "0 bytes", whole: true}
	}
	cut := record{number: 1, method: "POST", target: "/a"}
	post := record{number: 1, method: "POST", target: "/a", body: "3 bytes", whole: true}
	longer := record{number: 1, method: "POST", target: "/a", body: "46 bytes", whole: true}
	two := func(first, second string) []record { return []record{get(1, first), get(2, second)} }
	smuggling := []record{post, get(2, "/smuggled")}
	for name, c := range map[string]struct {
		answered []int
		records  []record
		front    []record // what the front alone has sent
		check    bool     // each client gets its own answers
		within   bool     // the second hop sees what the front has sent
	}{
		"one request":                 {[]int{1}, []record{get(1, "/a")}, []record{get(7, "/a")}, true, true},
		"refused":                     {nil, nil, []record{get(7, "/a")}, true, true},
		"refused, the next one not":   {[]int{1}, []record{get(1, "/b")}, two("/a", "/b"), true, true},
		"absolute target":             {[]int{1}, []record{get(1, "/?a")}, []record{get(7, "HTTP://b?a")}, true, true},
		"body breaks off":             {nil, []record{cut}, []record{post}, true, true},
		"body breaks off earlier":     {nil, []record{cut}, nil, true, true},
		"pipelined":                   {[]int{1, 2}, smuggling, smuggling, true, true},
		"smuggled":                    {[]int{1}, smuggling, []record{longer}, false, false},
		"smuggled, an answer of each": {[]int{1, 2}, smuggling, []record{post}, true, false},
		"another body":                {[]int{1}, []record{post}, []record{longer}, true, false},
		"another order":               {[]int{1, 2}, two("/b", "/a"), two("/a", "/b"), true, false},
		"answers in another order":    {[]int{2, 1}, two("/a", "/b"), two("/a", "/b"), false, true},
		"answer for another client":   {[]int{5}, []record{cut}, []record{post}, false, true},
	} {
		r := result{answered: c.answered, records: c.records}
		if err := r.check(); (err == nil) != c.check {
			t.Errorf("%s: answers: %v", name, err)
		}
		if err := r.within(&result{records: c.front}); (err == nil) != c.within {
			t.Errorf("%s: requests: %v", name, err)
		}
	}
}
