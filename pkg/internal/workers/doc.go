// Package workers does many like things with several goroutines: issuing, writing, proving. It knows nothing of what they are.
package workers
