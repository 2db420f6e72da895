// Package backcompat holds today's client and server to what earlier versions have
// sent. What is in testdata was recorded with those versions, packet by packet.
// The tests play the recorded client to today's server and the recorded server to
// today's client, and compare what today's side sends with what was recorded.
//
// All of it is tests: scenario_test.go says what a scenario is, player_test.go plays
// one side of a recording, and mask_test.go lists what may differ.
package backcompat
