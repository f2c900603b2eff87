package link

// fifo is a queue. The zero value is empty.
type fifo[T any] struct {
	items []T
	head  int // of items, the first that is still there
}

func (q *fifo[T]) len() int { return len(q.items) - q.head }

func (q *fifo[T]) push(item T) { q.items = append(q.items, item) }

// first of a queue that is not empty.
func (q *fifo[T]) first() T { return q.items[q.head] }

// pop takes the first of a queue that is not empty.
func (q *fifo[T]) pop() T {
	item := q.items[q.head]
	clear(q.items[q.head : q.head+1]) // for the garbage collector
	q.head++
	// Moves each item at most once on average, and keeps the slice below twice its need.
	if q.head*2 >= len(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	return item
}
