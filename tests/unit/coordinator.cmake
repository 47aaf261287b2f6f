foreach(part commit inquiry one_phase interactive tokens horizon marks resends requests foreign enlist recovery limits drain random)
  assent_test(coordinator_${part}_test coordinator_${part}_test.cc LINK assent_coordinator)
endforeach()
assent_test(token_expiry_test token_expiry_test.cc participant_testing.cc
  LINK assent_coordinator assent_participant assent_outcome)
