package durable

import "testing"

func TestFilesAreReadWithoutOpenat2(t *testing.T) {
	defer noOpenat2.Store(noOpenat2.Swap(true))
	TestAStageFollowsNoSymbolicLink(t)
	TestManyDirectoriesAtOnce(t)
}
