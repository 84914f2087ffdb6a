drop table change_log;
