package admission

const (
	// MaxHandshakes bounds the connections that have not proved who they are: a descriptor, a goroutine and about 20 KB each. At 500
	// strangers in a second, and a round trip of 300 ms, one that is honest still has the time that it needs.
	MaxHandshakes = 512
	// ReservePart of the descriptors that the process keeps in reserve are for them at most, as a divisor.
	ReservePart = 4
	// maxStrangers of them may be from addresses from which no peer has authenticated lately: a quarter of the places is left for peers
	// that come back, however many addresses an attacker has.
	maxStrangers = 384
	// maxRemembered addresses are known: those from which peers have authenticated last. A peer has at most 64 replicas.
	maxRemembered = 1024
	// fairShare is how many places a source has before it counts as holding many: a peer's replica dials some connections at once, and
	// must not lose to many addresses with one connection each.
	fairShare = 8
	// MaxNewcomers replicas of a peer may connect anew at once, four times as many as it may have, and NewcomerRate in each second
	// after that.
	MaxNewcomers = 256
	NewcomerRate = 8
	// busyAt is how many handshakes are under way when addresses have to prove to be their owners' first.
	busyAt = MaxHandshakes / 8
)

// siteBits are the upper bits of an IPv6 address that make the largest network that one site usually gets.
const siteBits = 48
