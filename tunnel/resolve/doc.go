// Package resolve follows the addresses of peers' names: each is dialed as one of its own, so that the replicas behind a name have links
// each. It looks names up again and again, since resolvers do not show for how long an answer is good.
package resolve
