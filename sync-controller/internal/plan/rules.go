package plan

// Rule is why a decision was made: the name of a branch of [Decide], for logs.
type Rule string

// The rules, in the order in which they are asked. Each belongs to one branch, but for those that say so.
const (
	// Deletion.
	RuleLetGo            Rule = "LetGo"
	RuleDeletedSuspended Rule = "DeletedSuspended"
	RuleDeletionPolicy   Rule = "DeletionPolicy"
	// What a spec, or the cluster, rules out.
	RuleFinalizerMissing  Rule = "FinalizerMissing"
	RuleAskedSuspended    Rule = "AskedSuspended"
	RuleSuspended         Rule = "Suspended"
	RuleFieldNotServed    Rule = "FieldNotServed"
	RuleInvalidExpression Rule = "InvalidExpression"
	RuleFluxRunning       Rule = "FluxRunning"
	// Healing. A comparison waits for the watches, and so does an attempt that verifies.
	RuleDrifted           Rule = "Drifted"
	RuleWatchesNotListed  Rule = "WatchesNotListed"
	RuleChangedUnwatched  Rule = "ChangedUnwatched"
	RuleNotRendered       Rule = "NotRendered"
	RuleRenderUnfinished  Rule = "RenderUnfinished"
	RuleRenderFailed      Rule = "RenderFailed"
	RuleGoalMoved         Rule = "GoalMoved"
	RuleDependenciesReady Rule = "DependenciesReady"
	RuleRetryDue          Rule = "RetryDue"
	RuleUnverified        Rule = "Unverified"
	RuleIntervalPassed    Rule = "IntervalPassed"
	// Between attempts. An outcome is reported in one branch for each way to end.
	RuleHealthMoved       Rule = "HealthMoved"
	RuleHealthRecovered   Rule = "HealthRecovered"
	RuleReported          Rule = "Reported"
	RuleOutcomeUnreported Rule = "OutcomeUnreported"
	// An attempt.
	RuleDependenciesAwaited Rule = "DependenciesAwaited"
	RuleDependencyCycle     Rule = "DependencyCycle"
	RuleDependenciesUnready Rule = "DependenciesUnready"
	RuleOnlyMoved           Rule = "OnlyMoved"
	RuleStorageUnknown      Rule = "StorageUnknown"
	RuleReleaseBlocked      Rule = "ReleaseBlocked"
	RuleStorageBroken       Rule = "StorageBroken"
	RuleReleaseInSync       Rule = "ReleaseInSync"
	RuleReleaseNotRendered  Rule = "ReleaseNotRendered"
	RuleNotApplied          Rule = "NotApplied"
	RuleNothingStale        Rule = "NothingStale"
	RuleStale               Rule = "Stale"
	RuleSiblingsLag         Rule = "SiblingsLag"
	RuleHealthUnknown       Rule = "HealthUnknown"
	RuleHealthFailed        Rule = "HealthFailed"
	RuleHealthTimeout       Rule = "HealthTimeout"
	RuleHealthAwaited       Rule = "HealthAwaited"
	RuleDone                Rule = "Done"
)
