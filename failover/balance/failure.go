package balance

// Failure is a kind of failure that a target is to blame for.
type Failure int

// The kinds of failures.
const (
	// NoFailure: the target is not to blame.
	NoFailure Failure = iota
	// LocalFailure: a local endpoint refused, reset or did not take the connection in time.
	LocalFailure
	// PeerFailure: the peer answered that none of its endpoints takes connections of this service.
	PeerFailure
	// ServerError: the answer had a 5xx status that is not 502, 503 or 504, or one that the policy lists as an error.
	ServerError
	// GatewayError: the answer had status 502, 503 or 504.
	GatewayError
	// AnswerTimeout: the connection was accepted and the request sent, and no answer came in time.
	AnswerTimeout
	// BrokenAnswer: the connection was accepted and ended before the headers of an answer.
	BrokenAnswer
	// probeFailure: an ejected target failed its probe; it is not counted.
	probeFailure
	// failurePercentage: too many of the answers of an interval were errors; it is not counted by itself.
	failurePercentage
)

// String is the kind as metrics, logs and status name it; an ejection has the name of the counter that reached its threshold.
func (f Failure) String() string {
	switch f {
	case NoFailure:
		return "none"
	case PeerFailure:
		return "peer"
	case ServerError:
		return "consecutive_5xx"
	case GatewayError:
		return "consecutive_gateway_failure"
	case AnswerTimeout:
		return "answer_timeout"
	case BrokenAnswer:
		return "broken_answer"
	case probeFailure:
		return "probe"
	case failurePercentage:
		return "failure_percentage"
	default:
		return "local"
	}
}

// isAnswer is true for failures of requests on connections that were accepted: accepting another one disproves none of them.
func (f Failure) isAnswer() bool {
	switch f {
	case ServerError, GatewayError, AnswerTimeout, BrokenAnswer, failurePercentage:
		return true
	default:
		return false
	}
}
