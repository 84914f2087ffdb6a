drop table change_head;
